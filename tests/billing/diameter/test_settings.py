"""What a Diameter section may say, and how it is told when it may not."""

from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock

from ppcd.billing.diameter.adapter import DiameterBilling
from ppcd.billing.diameter.settings import DiameterBillingSettings
from ppcd.charge.debit import DenialReason
from ppcd.config import Settings
from ppcd.service.adapters import adapters_of
from tests.config.files import good, with_change
from tests.config.test_settings import loaded, problems

#: As it stands in the file: all values are text.
SECTION: dict[str, Any] = {
    "kind": "diameter",
    "origin_host": "ppcd1.ppcd.example",
    "origin_realm": "ppcd.example",
    "session_identity": "ppcd.ppcd.example",
    "destination_realm": "operator.example",
    "service_context_id": "ppcd@operator.example",
    "peers": {"first": {"host": "10.0.0.1"}, "second": {"host": "2001:db8::2", "port": "3869"}},
    "plaintext_ok": "true",
}


def configured(tmp_path: Path, section: dict[str, Any]) -> Settings:
    settings: Settings = loaded(tmp_path, with_change(good(tmp_path), "billing.b", section))
    return settings


def test_a_section_from_the_file_makes_an_adapter(tmp_path: Path) -> None:
    section = SECTION | {"refusals": {"5003": "SERVICE_DENIED"}}
    settings = configured(tmp_path, section)
    billing = settings.billing["b"]
    assert isinstance(billing, DiameterBillingSettings)
    assert list(billing.peers) == ["first", "second"]
    assert billing.refusals == {5003: DenialReason.SERVICE_DENIED}
    [adapter] = adapters_of(
        settings, reactor=MemoryReactorClock(), random=Random(1), wall_s=lambda: 0.0
    )
    assert isinstance(adapter, DiameterBilling)
    assert adapter.name == "b"


def test_nothing_is_promised_that_was_not_confirmed(tmp_path: Path) -> None:
    billing = configured(tmp_path, SECTION).billing["b"]
    abilities = billing.abilities.abilities()
    assert not abilities.idempotent
    assert not abilities.queryable
    assert not abilities.stores_refusals


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("plaintext_ok", "false", "needs tls, or plaintext_ok: true on a protected network"),
        ("origin_host", "ppcd1", "must be a DiameterIdentity such as ppcd1.example.net"),
        ("peers.first.identity", "a b", "must be a DiameterIdentity such as"),
        ("peers", {}, "must be between 1 and 4 entries"),
        ("service_context_id", "ppcd", "must be name@domain"),
        ("refusals", {"5012": "SERVICE_DENIED"}, "5012 does not say that no money was taken"),
        ("refusals", {"5003": "USER_DECLINED"}, "USER_DECLINED is not a reason"),
        ("vendor_refusals", {"4241": "SERVICE_DENIED"}, "must have keys such as 10415:4241"),
        ("abilities", {"stores_refusals": "true"}, "abilities.stores_refusals needs idempotent"),
        ("abilities", {"quiet_period_s": "9"}, "must not be below answer_timeout_s"),
        ("reconnect_max_s", "0.5", "reconnect_max_s must not be below reconnect_first_s"),
        ("rating_group", "1", "rating_group needs use_mscc"),
        ("tls", {"certificate_file": "/dev/null"}, "certificate_file and key_file go together"),
        ("origin_realms", "x.example", "unknown key; did you mean origin_realm?"),
        ("session_identity", None, "must be given"),
    ],
)
def test_a_wrong_value_is_said_in_a_sentence(
    tmp_path: Path, path: str, value: object, sentence: str
) -> None:
    data = with_change(good(tmp_path), "billing.b", deepcopy(SECTION))
    said = problems(tmp_path, with_change(data, f"billing.b.{path}", value))
    assert any(sentence in line for line in said), said

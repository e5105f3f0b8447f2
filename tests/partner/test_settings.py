"""The configuration section: defaults that serve, values that don't get through."""

from typing import Any

import pytest
from pydantic import ValidationError

from ppcd.partner.settings import PartnerApiSettings


def test_defaults_serve_on_loopback() -> None:
    settings = PartnerApiSettings()
    assert settings.host_and_port == ("127.0.0.1", 8080)
    assert PartnerApiSettings(listen="[::]:0").host_and_port == ("::", 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"listen": "8080"},
        {"listen": "127.0.0.1:99999"},
        {"listen": "a b:1"},
        {"certificate_file": "a"},
        {"key_file": "a"},
        {"client_certificates": "beside_key"},
        {"client_ca_file": "a", "certificate_file": "b", "key_file": "c"},
        {"client_ca_file": "a", "client_certificates": "instead_of_key"},
        {"public_url": "https://a/b"},
        {"public_url": "a"},
        {"wait_s_max": 31},
        {"request_timeout_s": 0},
        {"body_size_max": 10},
        {"http_sink_hosts": ["http://a"]},
        {"surprise": 1},
    ],
)
def test_what_is_wrong_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PartnerApiSettings(**wrong)


def test_every_key_says_what_it_is() -> None:
    for name, field in PartnerApiSettings.model_fields.items():
        assert field.description, name
        assert not field.is_required(), name

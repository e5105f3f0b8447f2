"""A running node against clients that others wrote: a tester that reads the specifications served,
and a client generated from CAMARA's own file, unchanged.
"""

import importlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.node.world import World, a_world, wait_for
from tests.partner.specification import CHECKS, NODE, run, served

#: CAMARA's files as published, releases r3.2 of both APIs.
ORIGINALS = Path(__file__).parents[1] / "partner" / "camara"
PHONE = "380970777001"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("specification"), api=NODE) as world:
        yield world


@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_answer_is_one_that_the_specification_has(world: World) -> None:
    """A few hundred cases; `scripts/fuzz_api.py` makes ten thousand."""
    assert "not_a_server_error" in CHECKS
    answers: Counter[tuple[str, int]] = Counter()
    for name in served():
        origin = f"http://127.0.0.1:{world.node.partner_port}"
        client = ("gamex", world.partner.key)
        found = run(origin, client=client, name=name, each=15, seed=1, sequences=False)
        assert found.passed, found.report
        assert found.cases >= 50
        answers.update(found.answers)
    # The tester got beyond the first look: payments were made and found.
    assert answers["POST", 201] > 0
    assert answers["GET", 200] > 0
    assert not any(status >= 500 for _, status in answers)


# --- a client generated from CAMARA's own file --------------------------------------------------


@pytest.fixture(scope="module")
def camara(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The client that a partner would generate, as a package."""
    directory = tmp_path_factory.mktemp("generated")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"),
            *("--path", str(ORIGINALS / "carrier-billing.yaml")),
            *("--output-path", str(directory / "camara_client")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(directory))
    yield importlib.import_module("camara_client")
    sys.path.remove(str(directory))


@pytest.fixture
def client(world: World, camara: ModuleType) -> Iterator[Any]:
    with camara.AuthenticatedClient(
        base_url=f"http://127.0.0.1:{world.node.partner_port}/carrier-billing/v0.5",
        token=world.partner.key,
    ) as client:
        yield client


def _operation(name: str) -> ModuleType:
    return importlib.import_module(f"camara_client.api.{name}")


def _order(reference: str) -> Any:
    models = importlib.import_module("camara_client.models")
    return models.CreatePayment.from_dict(
        {
            "amountTransaction": {
                "phoneNumber": f"+{PHONE}",
                "clientCorrelator": reference,
                "referenceCode": reference,
                "paymentAmount": {
                    "chargingInformation": {
                        "amount": 25.0,
                        "currency": "UAH",
                        "description": "250 gold",
                    },
                },
            },
        }
    )


@pytest.mark.peer
def test_a_client_generated_from_camaras_own_file_sells(world: World, client: Any) -> None:
    create = _operation("one_step_payment.create_payment")
    made = create.sync_detailed(client=client, body=_order("generated-1"), x_correlator="c-1")
    assert (made.status_code, type(made.parsed).__name__) == (201, "PaymentCreated")
    assert made.headers["x-correlator"] == "c-1"
    assert made.parsed.payment_status == "processing"
    wait_for("the prompt", lambda: world.messages(PHONE))
    world.reply(PHONE, "ДА")
    retrieve = _operation("payment.retrieve_payment")
    payment = wait_for(
        "the end",
        lambda: (
            (found := retrieve.sync(made.parsed.payment_id, client=client)).payment_status
            == "succeeded"
            and found
        ),
    )
    assert payment.amount_transaction.payment_amount.charging_information.amount == 25
    listed = _operation("payment.retrieve_payments").sync(client=client, per_page=5)
    assert made.parsed.payment_id in [found.payment_id for found in listed]


@pytest.mark.peer
def test_the_generated_client_understands_refusals_and_cancels(world: World, client: Any) -> None:
    create = _operation("one_step_payment.create_payment")
    made = create.sync(client=client, body=_order("generated-2"))
    again = create.sync(client=client, body=_order("generated-2"))
    assert again.payment_id == made.payment_id
    models = importlib.import_module("camara_client.models")
    other = _order("generated-2")
    other.amount_transaction.payment_amount.charging_information.amount = 26.0
    refused = create.sync_detailed(client=client, body=other)
    assert (refused.status_code, refused.parsed.code) == (400, "INVALID_ARGUMENT")
    cancel = _operation("two_step_payment.cancel_payment")
    body = models.PhoneNumber.from_dict({"phoneNumber": f"+{PHONE}"})
    ended = cancel.sync_detailed(made.payment_id, client=client, body=body)
    assert ended.status_code == 202
    twice = cancel.sync_detailed(made.payment_id, client=client, body=body)
    assert (twice.status_code, twice.parsed.code) == (409, "CARRIER_BILLING.PAYMENT_CANCELLED")
    missing = _operation("payment.retrieve_payment").sync_detailed("17", client=client)
    assert (missing.status_code, missing.parsed.code) == (404, "NOT_FOUND")

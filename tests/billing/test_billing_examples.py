"""The examples in conf/billing work as they stand, each against a fake of its interface."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
import yaml

from ppcd.billing.http import HttpBilling
from ppcd.billing.settings import HttpBillingSettings
from ppcd.charge.debit import Debited, Unknown
from ppcd.http.client import Client
from tests.billing.adapter_contract import AdapterContract, ReservingContract, an_order, debit
from tests.billing.dialects import Air, Cbs, Dialect, Rest
from tests.billing.test_billing_http import TIMEOUT_S, HttpWorld
from tests.config.files import a_secret, good, loaded

EXAMPLES = Path(__file__).parents[2] / "conf" / "billing"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.yaml"))
#: What only the real place has.
TLS = {"ca_file", "certificate_file", "key_file"}


def described(example: str) -> tuple[str, dict[str, Any]]:
    """The only billing of an example: its name, and the section as the file has it."""
    text = (EXAMPLES / f"{example}.yaml").read_text()
    [(name, section)] = yaml.load(text, yaml.BaseLoader)["billing"].items()
    return name, section


class ExampleWorld(HttpWorld):
    """An example's adapter and a fake of what it describes, on loopback."""

    def __init__(self, reactor: Any, data_dir: Path, example: str, fake: type[Dialect]) -> None:
        self.name, self.section = described(example)
        promised = HttpBillingSettings.model_validate(self.section).abilities
        super().__init__(
            reactor,
            data_dir,
            fake=fake,
            idempotent=promised.idempotent,
            stores_refusals=promised.stores_refusals,
        )

    async def start(self, credentials: str | None = None, **changes: Any) -> None:
        await self.billing.start()
        here = {key: value for key, value in self.section.items() if key not in TLS}
        here |= {"url": self.billing.url + self.billing.path, "timeout_s": str(TIMEOUT_S)}
        if "query_url" in here:
            here["query_url"] = here["url"] + "/{key}"
        here |= {
            part: self._at_home(here[part])
            for part in ("refund", "reserve", "capture", "release")
            if part in here
        }
        settings = HttpBillingSettings.model_validate(here | changes)
        self.adapter = HttpBilling(
            self.name,
            settings,
            client=Client(self._reactor, connections_per_host_max=settings.connections_max),
            now=lambda: datetime(2026, 11, 23, 9, 5, 7, tzinfo=UTC),
            credentials=credentials,
            password="pa55<&>word",
        )

    def _at_home(self, section: dict[str, Any]) -> dict[str, Any]:
        """The same of what else it does: the place moves to loopback."""
        real = re.compile(r"https?://[^/]+")
        here = section | {"url": real.sub(self.billing.url, section["url"])}
        if "query" in here:
            asked = real.sub(self.billing.url, here["query"]["url"])
            here["query"] = here["query"] | {"url": asked}
        return here


@pytest_twisted.async_yield_fixture
async def world(request: Any, reactor: Any, tmp_path: Path) -> AsyncIterator[ExampleWorld]:
    world = ExampleWorld(reactor, tmp_path, request.cls.example, request.cls.fake)
    await world.start()
    yield world
    await world.stop()


class ExampleContract(AdapterContract):
    """The contract, with the fake that `example` and `fake` name."""

    example: str
    fake: type[Dialect]


class TestRest(ExampleContract, ReservingContract):
    example = "rest"
    fake = Rest


class TestUcip(ExampleContract):
    example = "ucip"
    fake = Air

    @pytest_twisted.ensureDeferred
    async def test_a_key_that_is_told_to_be_remembered_may_be_repeated(
        self, reactor: Any, tmp_path: Path
    ) -> None:
        world = ExampleWorld(reactor, tmp_path, "ucip", Air)
        await world.start(abilities={"idempotent": "true", "reversible": "true"})
        assert world.adapter.abilities.idempotent
        assert await debit(world, an_order()) == Debited("1001")
        await world.stop()


class TestHuawei(ExampleContract):
    example = "huawei-soap"
    fake = Cbs

    @pytest_twisted.ensureDeferred
    async def test_an_answer_to_another_debit_is_unknown(
        self, reactor: Any, tmp_path: Path
    ) -> None:
        class Confused(Cbs):
            def write(self, said: Any, key: str) -> Any:
                return super().write(said, "1")

        world = ExampleWorld(reactor, tmp_path, "huawei-soap", Confused)
        await world.start()
        assert isinstance(await debit(world, an_order()), Unknown)
        await world.stop()


@pytest.mark.parametrize("example", NAMES)
def test_every_example_has_a_contract(example: str) -> None:
    # The database's is tested with its functions, in test_billing_sql.
    http = {cls.example for cls in ExampleContract.__subclasses__()}
    assert example in http | {"postgresql"}


@pytest.mark.parametrize("example", NAMES)
def test_every_example_passes_given_its_files(example: str, tmp_path: Path) -> None:
    name, section = described(example)
    for key in section.keys() & {*TLS, "credentials_file", "password_file"}:
        section[key] = str(a_secret(tmp_path, key))
    data = good(tmp_path) | {"billing": {name: section}}
    data["routes"]["games"]["billing"] = name
    assert loaded(tmp_path, data).warnings == ()

"""Billing that asks for a certificate sees ours, and we see who it is."""

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest_twisted
from OpenSSL import SSL
from twisted.internet.defer import maybeDeferred
from twisted.internet.protocol import Factory, Protocol

from ppcd.billing.settings import HttpBillingSettings
from ppcd.charge.debit import Debited, NotSent, Unknown
from ppcd.config.secret import Secret
from ppcd.http.tls import server_options
from ppcd.service.adapters import adapters_of
from tests.billing.adapter_contract import an_order
from tests.smpp.authority import Authority

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"result":"debited"}'


class _Billing(Protocol):
    """Debits whatever a certified client wants."""

    def dataReceived(self, data: bytes) -> None:
        self.factory.heard += 1
        self.transport.write(ANSWER)


@pytest_twisted.async_yield_fixture
async def billing(reactor: Any, tmp_path: Path) -> AsyncIterator[Any]:
    authority = Authority(tmp_path)
    certificate_file, key_file = authority.certify("billing")
    options = server_options(Path(certificate_file), Path(key_file))
    context = options.getContext()
    context.load_verify_locations(authority.ca_file)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    factory: Any = Factory.forProtocol(_Billing)
    factory.heard = 0
    port = reactor.listenSSL(0, factory, options, interface="127.0.0.1")
    yield SimpleNamespace(
        authority=authority,
        factory=factory,
        url=f"https://127.0.0.1:{port.getHost().port}/debits",
    )
    await maybeDeferred(port.stopListening)


async def ask(reactor: Any, **described: Any) -> Any:
    """One debit through the adapter that the service makes of a description."""
    section = HttpBillingSettings.model_validate(described)
    secrets = {"billing.main.credentials": Secret("Bearer x")}
    settings: Any = SimpleNamespace(billing={"main": section}, secret=secrets.get)
    [adapter] = adapters_of(settings, reactor=reactor, random=Random(1), wall_s=lambda: 0.0)
    answer = await adapter.debit(an_order(), may_send=lambda: True)
    await adapter.close()
    return answer


@pytest_twisted.ensureDeferred
async def test_a_client_certificate_is_shown(reactor: Any, billing: Any) -> None:
    certificate_file, key_file = billing.authority.certify("ppcd")
    answer = await ask(
        reactor,
        url=billing.url,
        ca_file=billing.authority.ca_file,
        certificate_file=certificate_file,
        key_file=key_file,
    )
    assert answer == Debited(None)


@pytest_twisted.ensureDeferred
async def test_without_a_certificate_nothing_is_heard(reactor: Any, billing: Any) -> None:
    answer = await ask(reactor, url=billing.url, ca_file=billing.authority.ca_file)
    # TLS 1.3 tells a client only after it has begun to talk.
    assert isinstance(answer, NotSent | Unknown)
    assert billing.factory.heard == 0


@pytest_twisted.ensureDeferred
async def test_a_billing_of_another_authority_is_not_spoken_to(
    reactor: Any, billing: Any, tmp_path: Path
) -> None:
    answer = await ask(reactor, url=billing.url, ca_file=Authority(tmp_path, "other").ca_file)
    assert isinstance(answer, NotSent)
    assert billing.factory.heard == 0

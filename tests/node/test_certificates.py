"""Partners' TLS certificates on running nodes: beside a key, instead of one, taken away at once.

And what is true of TLS whoever asks: no version below 1.2, and new certificates by a reload.
"""

import http.client
import json
import signal
import ssl
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.node.world import Answer, Node, World, a_world, wait_for
from tests.smpp.authority import Authority

PATH = "/carrier-billing/v0.5/payments"


class Secure:
    """Two nodes, one for each way, and an authority that they trust."""

    def __init__(self, world: World, directory: Path) -> None:
        self.world = world
        self.authority = Authority(directory, "partners")
        self.server = Authority(directory, "server")
        certificate, key = self.server.certify("node")
        Path(key).chmod(0o600)
        self.files = {"certificate_file": certificate, "key_file": key}
        self.beside = world.add_node(api=self._api("beside_key"))
        self.instead = world.add_node(api=self._api("instead_of_key"))
        for node in (self.beside, self.instead):
            node.start()

    def _api(self, way: str) -> str:
        """Lines of the configuration."""
        more = {"client_ca_file": self.authority.ca_file, "client_certificates": way}
        return "\n  ".join(f"{key}: {value}" for key, value in (self.files | more).items())

    def ask(
        self,
        node: Node,
        shown: tuple[str, str] | None = None,
        *,
        key: str | None = None,
        path: str = PATH,
        body: str | None = None,
        **context: Any,
    ) -> Answer:
        tls = ssl.create_default_context(cafile=self.server.ca_file)
        if shown is not None:
            tls.load_cert_chain(*shown)
        for name, value in context.items():
            setattr(tls, name, value)
        line = http.client.HTTPSConnection("127.0.0.1", node.partner_port, context=tls, timeout=10)
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            line.request("GET" if body is None else "POST", path, body, headers)
            got = line.getresponse()
            return Answer(got.status, dict(got.getheaders()), got.read())
        finally:
            line.close()

    def register(self, partner: str, *options: str) -> str:
        command = ("partner", "add-certificate", partner, "--json", *options)
        return str(json.loads(self.world.node.run_command(*command))["certificate_id"])


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    directory = tmp_path_factory.mktemp("certificates")
    with a_world(directory) as world:
        yield Secure(world, directory)


def test_a_certificate_is_asked_for_beside_a_key(secure: Secure) -> None:
    key = secure.world.partner.key
    mine, theirs = secure.authority.certify("shop"), secure.authority.certify("other")
    secure.world.node.run_command("partner", "add", "other", "--merchant", "Other")
    secure.register("other", "--subject-of", theirs[0])
    assert secure.ask(secure.beside, mine, key=key).status == 401
    certificate = secure.register("gamex", "--file", mine[0])
    assert secure.ask(secure.beside, mine, key=key).status == 200
    for shown in (None, theirs):
        assert secure.ask(secure.beside, shown, key=key).status == 401
    assert secure.ask(secure.beside, mine).status == 401
    form = f"grant_type=client_credentials&client_id=gamex&client_secret={key}"
    for shown, status in ((mine, 200), (theirs, 401), (None, 401)):
        got = secure.ask(secure.beside, shown, path="/oauth2/token", body=form)
        assert got.status == status
    secure.world.node.run_command("partner", "revoke-certificate", "gamex", certificate)
    assert secure.ask(secure.beside, mine, key=key).status == 401


def test_a_certificate_is_as_good_as_a_key_and_dies_at_once(secure: Secure) -> None:
    mine, narrow = secure.authority.certify("web"), secure.authority.certify("reader")
    assert secure.ask(secure.instead, mine).status == 401
    certificate = secure.register("gamex", "--subject", "CN=web")
    secure.register("gamex", "--file", narrow[0], "--scope", "carrier-billing:payments:create")
    assert secure.ask(secure.instead, mine).status == 200
    assert secure.ask(secure.instead, narrow).status == 403
    assert secure.ask(secure.instead, key=secure.world.partner.key).status == 200
    assert secure.ask(secure.instead, mine, key="wrong").status == 401
    secure.world.node.run_command("partner", "revoke-certificate", "gamex", certificate)
    assert secure.ask(secure.instead, mine).status == 401
    listed = json.loads(
        secure.world.node.run_command("partner", "list-certificates", "gamex", "--json")
    )
    assert [row["subject"] for row in listed if row["state"] == "revoked"][-1] == "CN=web"


def test_a_certificate_of_another_authority_ends_the_handshake(
    secure: Secure, tmp_path: Path
) -> None:
    strange = Authority(tmp_path, "strangers").certify("web")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        secure.ask(secure.instead, strange)


@pytest.mark.parametrize(("version", "good"), [("TLSv1_1", False), ("TLSv1_2", True)])
def test_no_version_of_tls_is_below_1_2(secure: Secure, version: str, good: bool) -> None:
    tls = ssl.create_default_context(cafile=secure.server.ca_file)
    tls.set_ciphers("ALL:@SECLEVEL=0")  # the client would have it
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        tls.minimum_version = ssl.TLSVersion.TLSv1
        tls.maximum_version = ssl.TLSVersion[version]
    line = http.client.HTTPSConnection("127.0.0.1", secure.beside.partner_port, context=tls)
    try:
        if good:
            line.request("GET", PATH)
            assert line.getresponse().status == 401
        else:
            with pytest.raises(ssl.SSLError, match="protocol version"):
                line.request("GET", PATH)
    finally:
        line.close()


def test_a_reload_shows_the_new_certificate_and_a_bad_one_changes_nothing(
    secure: Secure,
) -> None:
    node = secure.instead

    def serial() -> str:
        tls = ssl.create_default_context(cafile=secure.server.ca_file)
        line = http.client.HTTPSConnection("127.0.0.1", node.partner_port, context=tls)
        line.connect()
        shown: Any = line.sock.getpeercert()
        line.close()
        return str(shown["serialNumber"])

    before = serial()
    secure.server.certify("node")
    assert serial() == before
    node.party.signal(signal.SIGHUP)
    after = wait_for("the new certificate", lambda: (s := serial()) != before and s)
    Path(secure.files["certificate_file"]).write_text("nothing")
    node.party.signal(signal.SIGHUP)
    wait_for("the failed reload", lambda: "config_last_reload_successful 0" in node.metrics())
    assert serial() == after

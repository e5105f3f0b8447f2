"""What must never be posted to. Judged where it counts: by the connections that are tried."""

from collections.abc import Sequence

import pytest
from twisted.internet.testing import MemoryReactorClock

from ppcd.flow.ports import Event, TryLater
from ppcd.webhook.guard import Guard, Refused
from ppcd.webhook.sender import Sender
from ppcd.webhook.settings import WebhookSettings

#: Addresses that a name may resolve to, and that no event goes to.
BLOCKED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.1.2.3",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:8.8.8.8",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "not an address",
    "",
]

ALLOWED = ["8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.0.1", "2606:4700::1111",
           "2a00:1450::1"]  # fmt: skip

#: URLs that are refused before any name is looked up.
BAD_URLS = [
    "",
    "nothing",
    "//shop.example/",
    "https:shop.example",
    "https:///hook",
    "http://shop.example/hook",
    "ftp://shop.example/",
    "file:///etc/passwd",
    "gopher://shop.example/",
    "javascript:alert(1)",
    "https://shop.example:22/",
    "https://shop.example:80/",
    "https://shop.example:8080/",
    "https://shop.example:5432/",
    "https://shop.example:0/",
    "https://shop.example:99999/",
    "https://shop.example:+443/",
    "https://user@shop.example/",
    "https://user:pw@shop.example/",
    "https://shop.example@10.0.0.1/",
    "https://127.0.0.1/",
    "https://10.0.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[fe80::1%25eth0]/",
    "https://[64:ff9b::127.0.0.1]/",
    "https://0/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://127.0.0.1./",
    "https://10.0.0.1:443@shop.example/",
    "https://shop.example\\@10.0.0.1/",
    "https://shop.example/\r\nX-Injected: 1",
    "https://shop.example /",
    "https://shop.example/\u0430",
    "https://\u0441hop.example/",
    "https://shop..example/",
    "https://.example/",
    "https://%31%32%37.0.0.1/",
    "https://①②⑦.0.0.1/",
    "https://shop.example\x00.evil/",
    "https://[::1/",
    "https://{host}/",
    "https://[::]/",
    "https://[::ffff:7f00:1]/",
    "https://[0:0:0:0:0:ffff:10.0.0.1]/",
    "https://[::ffff:0:127.0.0.1]/",
    "https://[::1%25lo]/",
    "https://[2002:7f00:1::]/",
    "https://[64:ff9b:1::7f00:1]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://[fd00:ec2::254]/",
    "https://0x7f.1/",
    "https://0x7f000001:443/",
    "https://00000177.1/",
    "https://127.0.0.1%2f@shop.example/",
    "https://127\u30020\u30020\u30021/",
    "https://\uff11\uff12\uff17.0.0.1/",
    "https://localhost%00.shop.example/",
    "https://10.0.0.1#@shop.example/",
    "https://10.0.0.1?@shop.example/",
    "https://shop.example:443:22/",
    "https://shop.example:44 3/",
    "https://shop.example:0443@10.0.0.1/",
    "https://user%40shop.example@10.0.0.1/",
    "HTTPS://127.0.0.1/",
    "https:\\\\127.0.0.1/",
    "https:/127.0.0.1/",
    "https://127.0.0.1:443/../",
    "dict://127.0.0.1:6379/",
    "unix:///run/ppcd/ppcd.sock",
]

#: Names that only their addresses tell about: each is looked up, and what it says is judged.
NAMES = {
    "localhost": "127.0.0.1",
    "localhost.": "::1",
    "127.0.0.1.nip.example": "127.0.0.1",
    "metadata.google.internal": "169.254.169.254",
    "xn--e1afmkfd.example": "10.0.0.1",
    "ip6-localhost": "::1",
    "mapped.example": "::ffff:169.254.169.254",
    "translated.example": "64:ff9b::a9fe:a9fe",
    "zoned.example": "fe80::1%eth0",
}


class _World:
    """A sender whose network only takes notes."""

    def __init__(self, **settings: object) -> None:
        self.reactor = MemoryReactorClock()
        self.answers: list[Sequence[str]] = []
        self.lookups: list[str] = []
        self.sender = Sender(
            self.reactor, WebhookSettings(**settings), now=lambda: 1e9, resolve=self._resolve
        )

    async def _resolve(self, name: str) -> Sequence[str]:
        self.lookups.append(name)
        return self.answers.pop(0)

    def deliver(self, url: str) -> list[object]:
        results: list[object] = []
        event = Event("evt_1_1", url, (b"s" * 24,), b"{}", None)
        d = self.sender.deliver(event)
        d.addBoth(results.append)
        return results

    @property
    def dialled(self) -> list[tuple[str, int]]:
        return [(host, port) for host, port, *_ in self.reactor.tcpClients]


def test_there_are_enough_vectors() -> None:
    assert len(set(BLOCKED) | set(BAD_URLS)) >= 60


@pytest.mark.parametrize("address", BLOCKED)
def test_a_name_that_resolves_inside_is_not_connected_to(address: str) -> None:
    world = _World()
    world.answers = [[address], ["8.8.8.8", address], [address, "8.8.8.8"]]
    for _ in range(3):
        [result] = world.deliver("https://shop.example/hook")
        assert isinstance(result, TryLater)
        assert "not allowed" in result.detail
    assert world.dialled == []


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_bad_url_is_refused_before_any_look_up(url: str) -> None:
    world = _World()
    [result] = world.deliver(url)
    assert isinstance(result, TryLater)
    assert result.detail.startswith("not sent: ")
    assert world.lookups == []
    assert world.dialled == []


@pytest.mark.parametrize(("name", "address"), NAMES.items())
def test_a_name_that_means_inside_is_not_connected_to(name: str, address: str) -> None:
    world = _World()
    world.answers = [[address]]
    [result] = world.deliver(f"https://{name}/hook")
    assert isinstance(result, TryLater)
    assert world.dialled == []
    assert len(world.lookups) == 1


@pytest.mark.parametrize("address", ALLOWED)
def test_public_addresses_are_connected_to_as_checked(address: str) -> None:
    world = _World()
    world.answers = [[address]]
    assert world.deliver("https://shop.example/hook") == []
    assert world.dialled == [(address, 443)]


def test_a_resolver_that_changes_its_answer_gains_nothing() -> None:
    world = _World()
    world.answers = [["8.8.8.8"], ["127.0.0.1"]]
    world.deliver("https://shop.example/hook")
    [result] = world.deliver("https://shop.example/hook")
    assert isinstance(result, TryLater)
    # One look-up an attempt, and the address connected to is the one that was checked.
    assert world.lookups == ["shop.example"] * 2
    assert world.dialled == [("8.8.8.8", 443)]


def test_only_registered_hosts_where_there_are_any() -> None:
    world = _World(hosts=["shop.example"])
    world.answers = [["8.8.8.8"]]
    world.deliver("https://shop.example/hook")
    [result] = world.deliver("https://other.example/hook")
    assert result == TryLater(None, "not sent: the URL's host is not registered")
    assert world.dialled == [("8.8.8.8", 443)]


def test_a_host_may_be_exempt_for_demos_and_only_that_one() -> None:
    world = _World(http_hosts="127.0.0.1")
    assert world.deliver("http://127.0.0.1:8080/hook") == []
    assert world.dialled == [("127.0.0.1", 8080)]
    for url in ("http://127.0.0.2:8080/hook", "http://shop.example/", "https://127.0.0.2/"):
        [result] = world.deliver(url)
        assert isinstance(result, TryLater)
    assert len(world.dialled) == 1


def test_a_private_network_may_be_allowed() -> None:
    world = _World(networks=["10.20.0.0/16"])
    world.answers = [["10.20.1.1"], ["10.21.1.1"]]
    world.deliver("https://shop.example/hook")
    [result] = world.deliver("https://shop.example/hook")
    assert isinstance(result, TryLater)
    assert world.dialled == [("10.20.1.1", 443)]


def test_names_that_only_look_like_addresses_at_the_front_are_names() -> None:
    assert Guard().check_url("https://1.2.3.4.example/").host == "1.2.3.4.example"
    assert Guard().check_url("https://8.8.8.8:8443/").port == 8443


def test_a_refusal_does_not_repeat_the_url() -> None:
    with pytest.raises(Refused) as refused:
        Guard().check_url("https://secret-token@shop.example/")
    assert "secret" not in str(refused.value)

"""What codes and sessions are drawn from."""

import os
from random import Random
from uuid import UUID

import pytest

from ppcd.service import chance
from ppcd.service.chance import PAGE_SIZE, Unpredictable, new_name


def test_numbers_are_made_of_all_octets_of_the_kernel_and_of_each_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[bytes] = []

    def urandom(size: int) -> bytes:
        drawn.append(os.getrandom(size))
        return drawn[-1]

    monkeypatch.setattr(chance.os, "urandom", urandom)
    source = Unpredictable()
    found = b"".join(source.getrandbits(32).to_bytes(4, "big") for _ in range(PAGE_SIZE // 2))
    assert found == b"".join(drawn)
    assert [len(page) for page in drawn] == [PAGE_SIZE] * 2


def test_numbers_are_within_their_bounds_and_use_all_of_them() -> None:
    source = Unpredictable()
    assert {source.randrange(10) for _ in range(2000)} == set(range(10))
    assert {source.getrandbits(3) for _ in range(2000)} == set(range(8))
    assert source.getrandbits(8 * PAGE_SIZE + 8) >> 8 * PAGE_SIZE < 256


def test_a_name_is_a_uuid() -> None:
    name = UUID(new_name(Random(1)))
    assert (name.version, name.variant) == (4, "specified in RFC 4122")
    assert str(name) != new_name(Random(2))

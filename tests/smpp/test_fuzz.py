"""The fuzzer's corpus, replayed: inputs that once reached a new corner of the code."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.smpp.fuzzing import TARGETS
from tests.smpp.vectors import MALFORMED

CORPUS = Path(__file__).with_name("corpus")


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_holds(name: str) -> None:
    files = sorted((CORPUS / name).iterdir())
    assert files
    for file in files:
        TARGETS[name](file.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_the_malformed_vectors_hold_for_every_target(name: str) -> None:
    for vector in MALFORMED:
        for first in (b"", b"\0", b"\x05", b"\xff"):
            TARGETS[name](first + vector.octets)
            TARGETS[name](first + vector.octets[16:])


@pytest.mark.parametrize("name", TARGETS)
def test_octets_of_any_kind_hold(name: str) -> None:
    @given(st.binary(max_size=200))
    def holds(data: bytes) -> None:
        TARGETS[name](data)

    holds()

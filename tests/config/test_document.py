"""YAML is read as text, with places, and nothing in it is guessed or overlooked."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcd.config.document import ConfigurationError, parse, read


def said(text: bytes) -> list[str]:
    return [str(problem) for problem in sorted(parse("f.yaml", text).problems)]


@pytest.mark.parametrize(
    "text", ["NO", "0717", "12:30", "+380971234567", "1e3", "1_000", "2026-11-01", "true", ".inf"]
)
def test_a_scalar_is_its_text(text):
    assert parse("f", f"a: {text}".encode()).data == {"a": text}


def test_nothing_is_not_given_and_quotes_make_text():
    document = parse("f", b"a:\nb: ~\nc: null\nd: ''\ne: '~'\n")
    assert document.data == {"a": None, "b": None, "c": None, "d": "", "e": "~"}


def test_an_empty_file_is_an_empty_mapping():
    document = parse("f", b"# nothing\n")
    assert document.data == {}
    assert str(document.problem(("a",), "must be given")) == "f:1:1: a: must be given"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"a: 1\na: 2\n", "f.yaml:2:1: doubled key 'a', first on line 1"),
        (b"x: {<<: {a: 1}}\n", "f.yaml:1:5: x: merge keys (<<) are refused: write the keys out"),
        (b"? [a]\n: 1\n", "f.yaml:1:3: keys must be plain text"),
        (b"!!int 1: 2\n", "f.yaml:1:1: keys must be plain text"),
        (b"a: !!int 1\n", "f.yaml:1:4: a: tags such as tag:yaml.org,2002:int are refused"),
        (b"a: !x {b: 1}\n", "f.yaml:1:4: a: tags such as !x are refused"),
        (b"a: &x [1]\nb: *x\n", "f.yaml:1:4: b: aliases are refused: write the value out"),
    ],
)
def test_what_would_be_guessed_is_refused_with_its_place(text, problem):
    assert said(text) == [problem]


def test_all_of_a_file_s_problems_are_found():
    assert len(said(b"a: {b: 1, b: 2}\nc: [&x 1, *x]\n<<: 3\n")) == 3


def test_an_alias_bomb_costs_nothing():
    lines = ["a: &a [x, x]"] + [
        f"{b}: &{b} [*{a}, *{a}]" for a, b in zip("abcdefghij", "bcdefghijk", strict=True)
    ]
    assert len(said("\n".join(lines).encode())) == 20


@pytest.mark.parametrize(
    ("text", "start"),
    [
        (b"a: [", "f.yaml:1:5: while parsing a flow node"),
        (b"a: \x00", "f.yaml: unacceptable character"),
        (b"a: 1\nb: \xff", "f.yaml:2:1: is not UTF-8 text"),
        (b"- 1", "f.yaml:1:1: must be a mapping of sections"),
        (b"a: 1\n---\nb: 2\n", "f.yaml:2:1: expected a single document"),
        (b"[" * 100_000, "f.yaml: is nested too deeply"),
        (b"a: *nowhere", "f.yaml:1:4: found undefined alias"),
    ],
)
def test_what_is_no_configuration_at_all_is_said_in_one_line(text, start):
    with pytest.raises(ConfigurationError) as caught:
        parse("f.yaml", text)
    assert str(caught.value).startswith(start)
    assert "\n" not in str(caught.value)


def test_deep_nesting_is_refused():
    assert "aliases are refused" in said(b"a: " + b"[" * 40 + b"]" * 40)[0]


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        read(tmp_path / "no.yaml")
    (tmp_path / "big.yaml").write_bytes(b"#" * 2_000_000)
    with pytest.raises(ConfigurationError, match="larger than 1 MiB"):
        read(tmp_path / "big.yaml")


def test_places_are_those_of_the_file():
    document = parse("f", b"a:\n  - b: 1\n  - c: 2\n")
    assert str(document.problem(("a", 1, "c"), "x")) == "f:3:8: a[1].c: x"
    assert str(document.problem(("a", 1, "c"), "x", at_key=True)) == "f:3:5: a[1].c: x"
    assert str(document.problem(("a", 7), "x")) == "f:2:3: a[7]: x"


@given(st.binary(max_size=60))
def test_garbage_raises_only_our_error(raw):
    with contextlib.suppress(ConfigurationError):
        parse("f", raw)

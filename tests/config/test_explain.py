"""Sentences for bounds and shapes of every kind that a section may have."""

from enum import Enum
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from ppcd.config.document import parse
from ppcd.config.explain import explain
from ppcd.config.models import models_at


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int = Field(default=1, gt=0, lt=5)


class Other(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(default="", max_length=3)


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")
    above: int = Field(default=1, gt=0)
    below: int = Field(default=1, lt=3)
    at_least: float = Field(default=1, ge=1)
    statuses: tuple[Annotated[int, Field(ge=100, le=599)], ...] = ()
    names: Annotated[list[str], Field(max_length=1)] = Field(default_factory=list)
    word: Annotated[str, StringConstraints(min_length=2, max_length=3)] = "abc"
    plain: str = Field(default="x", pattern="^x$")
    told: str = Field(default="x", pattern="^x$", description="An x. Anything else breaks.")
    secret: str = Field(default="", max_length=2)
    colour: Colour = Colour.RED
    inner: Inner = Inner()
    many: dict[str, Annotated[Inner | None, Field(description="one")]] = Field(default_factory=dict)
    row: list[Inner] = Field(default_factory=list)
    either: Inner | Other = Inner()
    when: bool = False
    bits: bytes = Field(default=b"", max_length=1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("above: 0", "above: must be above 0, got '0'"),
        ("below: 3", "below: must be below 3, got '3'"),
        ("at_least: 0.5", "at_least: must be at least 1, got '0.5'"),
        ("statuses: [99]", "statuses[0]: must be at least 100, got '99'"),
        ("names: [a, b]", "names: must be at most 1 entries, got a list"),
        ("word: a", "word: must be between 2 and 3 characters, got 'a'"),
        ("plain: y", "plain: has not the form that it must have, got 'y'"),
        ("told: y", "told: must be: An x, got 'y'"),
        ("secret: abc", "secret: must be at most 2 characters"),
        ("colour: green", "colour: must be one of red or blue, got 'green'"),
        ("inner: {size: 9}", "inner.size: must be above 0 and below 5, got '9'"),
        ("inner: [1]", "inner: must be a mapping, got a list"),
        ("inner:", "inner: must be a mapping, got nothing"),
        ("many: {a: {sise: 1}}", "many.a.sise: unknown key; did you mean size?"),
        ("row: [{size: 0}]", "row[0].size: must be above 0 and below 5, got '0'"),
        ("row: x", "row: must be a list, got 'x'"),
        ("when: perhaps", "when: must be true or false, got 'perhaps'"),
        ("bits: abc", "bits: data should have at most 1 byte, got 'abc'"),
        ("plain: " + "y" * 99, f"plain: has not the form that it must have, got '{'y' * 59}…'"),
    ],
)
def test_what_is_wrong_is_a_sentence(text, said):
    document = parse("f", text.encode())
    with pytest.raises(ValidationError) as caught:
        Model.model_validate(document.data)
    (problem,) = explain(document, Model, caught.value.errors())
    assert f"{problem.path}: {problem.message}" == said


def test_a_union_s_arms_are_looked_through():
    assert models_at(Model, ("either",)) == [Inner, Other]
    assert models_at(Model, ("either", "size")) == []
    assert models_at(Model, ("many", "x")) == [Inner]
    assert models_at(Model, ("nothing",)) == []
    assert models_at(Any, ("x",)) == []

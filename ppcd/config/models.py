"""Walking the models that sections are made of: for messages, secrets and the reference."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ppcd.config.document import Loc

__all__ = ["fields_of", "models_at", "models_of"]


def fields_of(model: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    return [(field.alias or name, field) for name, field in model.model_fields.items()]


def models_at(model: type[BaseModel], loc: Loc) -> list[type[BaseModel]]:
    """Models that may stand at a place: several where a union does."""
    kinds: list[Any] = [model]
    for part in loc:
        kinds = [inner for kind in kinds for inner in _step(kind, part)]
    return [kind for found in kinds for kind in models_of(found)]


def models_of(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation allows, unions and Annotated opened."""
    if get_origin(annotation) is Annotated:
        return models_of(get_args(annotation)[0])
    if get_origin(annotation) in {Union, types.UnionType}:
        return [found for arm in get_args(annotation) for found in models_of(arm)]
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return [annotation] if is_model else []


def _step(kind: Any, part: int | str) -> list[Any]:
    """The annotations one level down."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _step(get_args(kind)[0], part)
    if origin in {Union, types.UnionType}:
        return [found for arm in get_args(kind) for found in _step(arm, part)]
    if origin in {dict, Mapping}:
        return [get_args(kind)[1]]
    if origin in {list, tuple, set, frozenset}:
        return [get_args(kind)[0]]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = dict(fields_of(kind)).get(str(part))
        return [] if field is None else [field.annotation]
    return []

"""docs/configuration.md, made from the models, so that it cannot tell anything else."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ppcd.config.models import fields_of, models_of
from ppcd.config.settings import Settings

__all__ = ["keys", "reference"]

HEAD: Final = """\
# Configuration

Made from the models by `python -m ppcd.config > docs/configuration.md`; do not edit.

One YAML file holds a node's whole configuration. `ppcd check-config --config FILE` tells all its
problems at once, each as `file:line:column: key: what is wrong`, and exits with 0 or 2. `ppcd run`
refuses to start with any of them, and a reload (SIGHUP) with any of them leaves the old
configuration in force.

* Every value is text that its key's type reads: `NO` is a word here and `0717` keeps its zero.
  Switches are `true` or `false` (`yes`, `no`, `on`, `off`). Nothing, `~` and `null` mean
  *not given*.
* Unknown and doubled keys are errors. Anchors, aliases and merge keys are refused.
* Secrets never stand in the file. `…_file` is the absolute path of a file with one line,
  which only its owner may read (`chmod 600`); `…_credential` is the name of a systemd credential
  (`LoadCredential=` in the unit), found below `$CREDENTIALS_DIRECTORY`.
* NAME stands for a name that you choose: small letters, digits, `-` and `_`. Metrics and logs use
  it.
* A reload applies changes of `charges`, `limits`, `texts`, `words`, `log`, and of a route's
  `msisdn_prefixes`, `code`, `code_above` and `quarantine_s`. Whatever else changed is named in the
  log and waits for a restart.

`conf/ppcd.yaml` is an example to start from.
"""

#: Types by their name in the code, said for people.
PLAIN: Final[Mapping[Any, str]] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "switch",
    Decimal: "amount",
}


def reference() -> str:
    """The whole page."""
    page = HEAD
    for name, field in fields_of(Settings):
        page += f"\n## `{name}`\n\n{field.description}\n"
        models, below = _inside(field.annotation, name)
        if len(models) < 2:
            page += _table(_keys(name, field))
            continue
        for model in models:
            kind = get_args(model.model_fields["kind"].annotation)[0]
            about = " ".join((model.__doc__ or "").partition("\n\n")[0].split())
            page += f"\n### `{name}`, `kind: {kind}`\n\n{about}\n{_table(_of_model(model, below))}"
    return page


def _table(rows: Iterator[tuple[str, FieldInfo]]) -> str:
    head = "\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n"
    return head + "".join(_row(path, field) for path, field in rows)


def keys() -> Iterator[tuple[str, FieldInfo]]:
    """Every key by its path, NAME in place of names."""
    for name, field in fields_of(Settings):
        yield from _keys(name, field)


def _keys(path: str, field: FieldInfo) -> Iterator[tuple[str, FieldInfo]]:
    """The keys below a field that is a model, or a mapping of models; else the field itself."""
    models, below = _inside(field.annotation, path)
    if not models:
        yield path, field
    for model in models:
        yield from _of_model(model, below)


def _of_model(model: type[BaseModel], below: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, inner in fields_of(model):
        inner_models, _ = _inside(inner.annotation, "")
        if inner_models:
            yield f"{below}.{name}", inner
        yield from _keys(f"{below}.{name}", inner)


def _inside(annotation: Any, path: str) -> tuple[list[type[BaseModel]], str]:
    if get_origin(annotation) is dict:
        return models_of(get_args(annotation)[1]), f"{path}.NAME"
    return models_of(annotation), path


def _row(path: str, field: FieldInfo) -> str:
    kind = _kind(field.annotation) + _range(field)
    if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("file"):
        kind = "path"
    meaning = (field.description or "").replace("|", "\\|")
    return f"| `{path}` | {kind} | {_default(field)} | {meaning} |\n"


def _kind(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        extra = [mark.json_schema_extra for mark in arguments if isinstance(mark, FieldInfo)]
        return "path" if {"file": True} in extra else _kind(arguments[0])
    if origin in {Union, types.UnionType}:
        return " or ".join(_kind(arm) for arm in arguments if arm is not type(None))
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in {tuple, list, set, frozenset}:
        return f"list of {_kind(arguments[0])}"
    if origin in {dict, Mapping}:
        return f"mapping of {_kind(arguments[0])} to {_kind(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return PLAIN.get(annotation, "text")


def _range(field: FieldInfo) -> str:
    least = next((mark.ge for mark in field.metadata if isinstance(mark, Ge)), None)
    above = next((mark.gt for mark in field.metadata if isinstance(mark, Gt)), None)
    most = next((mark.le for mark in field.metadata if isinstance(mark, Le)), None)
    if least is not None and most is not None:
        return f", {least} to {most}"
    said = [
        f"at least {least}" if least is not None else "",
        f"above {above}" if above is not None else "",
        f"at most {most}" if most is not None else "",
    ]
    return "".join(f", {words}" for words in said if words)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    default = field.get_default(call_default_factory=True)
    if default is None or default is PydanticUndefined or isinstance(default, BaseModel):
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, dict | tuple | list | set | frozenset):
        return _entries(default)
    value = default.value if isinstance(default, Enum) else default
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`" if value != "" else ""


def _entries(default: Any) -> str:
    if isinstance(default, Mapping):
        return ", ".join(f"`{key}: {value}`" for key, value in default.items())
    return ", ".join(f"`{value}`" for value in default)

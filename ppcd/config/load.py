"""From a file to settings, or to everything that is wrong with it at once.

A wrong value must not hide the next problem, so the checks across sections run on whatever parts
are right.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from ppcd.config.checks import Complaint, check
from ppcd.config.document import ConfigurationError, Document, dotted, read
from ppcd.config.explain import explain
from ppcd.config.secret import Secret, SecretError, check_file, credential_path, read_secret
from ppcd.config.settings import Settings

__all__ = ["build", "load"]

#: Keys `<stem>_file` whose files are read by others, but are secret all the same (TLS private
#: keys).
PRIVATE: Final = frozenset({"key"})


def load(path: str | Path, *, credentials_directory: str | None = None) -> Settings:
    """The settings in the file at `path`; raises ConfigurationError with all problems.

    `credentials_directory` is where systemd put the unit's credentials, by default what it says in
    `$CREDENTIALS_DIRECTORY`.
    """
    directory = credentials_directory or os.environ.get("CREDENTIALS_DIRECTORY")
    return build(read(Path(path)), credentials_directory=directory)


def build(document: Document, *, credentials_directory: str | None = None) -> Settings:
    """The settings of a document that was read already."""
    problems = list(document.problems)
    try:
        settings = Settings.model_validate(document.data)
    except ValidationError as exc:
        # Whatever is wrong below a place that could not even be read needs no second sentence.
        spoilt = {problem.path for problem in problems}
        found = explain(document, Settings, exc.errors(include_url=False))
        problems += [problem for problem in found if problem.path not in spoilt]
        settings = _sound_parts(document, exc)
    secrets, complaints = _secrets(settings, credentials_directory)
    complaints += check(settings, document, secrets)
    problems += [document.problem(c.loc, c.message) for c in complaints if not c.harmless]
    if problems:
        raise ConfigurationError(problems)
    settings._secrets = secrets
    settings._warnings = tuple(
        sorted(document.problem(c.loc, c.message) for c in complaints if c.harmless)
    )
    return settings


def _sound_parts(document: Document, error: ValidationError) -> Settings:
    """Settings with only the right sections, and of links, routes and billing the right entries."""
    data: dict[str, Any] = {
        key: dict(value) if isinstance(value, dict) else value
        for key, value in (document.data if isinstance(document.data, dict) else {}).items()
    }
    for wrong in error.errors(include_url=False):
        section, *inside = wrong["loc"] or ("",)
        entries = data.get(str(section))
        if section in {"links", "routes", "billing"} and inside and isinstance(entries, dict):
            entries.pop(inside[0], None)
    sound: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        try:
            kind: Any = field.annotation
            sound[name] = TypeAdapter(kind).validate_python(data[name])
        except (ValidationError, KeyError):
            if not field.is_required():
                sound[name] = field.get_default(call_default_factory=True)
    return Settings.model_construct(**sound)


def _secrets(
    settings: Settings, directory: str | None
) -> tuple[dict[str, Secret], list[Complaint]]:
    """Every secret that any section names, by path: no section can forget a check."""
    secrets: dict[str, Secret] = {}
    complaints: list[Complaint] = []
    for loc, model in _models(settings, ()):
        for name in type(model).model_fields:
            stem, _, how = name.rpartition("_")
            value = getattr(model, name, None)
            if how not in {"file", "credential"} or not isinstance(value, str):
                continue
            try:
                secret = _one_secret(model, stem, how, value, directory)
            except SecretError as exc:
                complaints.append(Complaint((*loc, name), str(exc)))
                continue
            if secret is not None:
                secrets[dotted((*loc, stem))] = secret
    return secrets, complaints


def _one_secret(
    model: BaseModel, stem: str, how: str, value: str, directory: str | None
) -> Secret | None:
    is_secret = f"{stem}_credential" in type(model).model_fields
    if how == "credential":
        if getattr(model, f"{stem}_file", None) is not None:
            raise SecretError(f"{stem}_file is given too: keep one of them")
        return read_secret(credential_path(value, directory), others_mode=0o007)
    path = Path(value)
    if is_secret:
        return read_secret(path)
    check_file(path)
    if stem in PRIVATE:
        read_private(path)
    return None


def read_private(path: Path) -> None:
    """Refuse a private key that others can read."""
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise SecretError(
            f"{path} can be used by others (mode {mode:04o}): chmod 600 it, and change the key"
        )


def _models(value: object, loc: tuple[int | str, ...]) -> Iterator[tuple[Any, BaseModel]]:
    """Every model below a value, with its place."""
    if isinstance(value, BaseModel):
        yield loc, value
        for name in type(value).model_fields:
            # A section that was wrong is not there at all.
            yield from _models(getattr(value, name, None), (*loc, name))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _models(inner, (*loc, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _models(inner, (*loc, index))

"""Configuration files for tests: a small good one, and how to spoil it."""

from __future__ import annotations

from pathlib import Path

import yaml

from ppcd.config import ConfigurationError, Settings, load


def a_secret(
    directory: Path, name: str = "secret", text: str = "pa55word", mode: int = 0o600
) -> Path:
    path = directory / name
    path.write_text(text + "\n")
    path.chmod(mode)
    return path


def good(directory: Path) -> dict:
    """The least that a node needs."""
    secret = str(a_secret(directory))
    return {
        "database": {"dsn": "postgresql://ppcd@db/ppcd", "password_file": secret},
        "links": {
            "main": {
                "host": "127.0.0.1",
                "port": "2775",
                "system_id": "ppcd",
                "password_file": secret,
            }
        },
        "routes": {
            "games": {"links": ["main"], "pool": {"first": "717100", "size": "32"}, "billing": "b"}
        },
        "billing": {"b": {"url": "http://127.0.0.1:9000/debits"}},
    }


def with_change(data: dict, path: str, value: object) -> dict:
    """`data` with the value at a dotted path set; None takes the key out."""
    *parents, last = path.split(".")
    inner = data
    for part in parents:
        inner = inner.setdefault(part, {})
    if value is None:
        inner.pop(last)
    else:
        inner[last] = value
    return data


def loaded(directory: Path, data: dict | str, **options) -> Settings:
    path = directory / "ppcd.yaml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data, allow_unicode=True))
    return load(path, **options)


def problems(directory: Path, data: dict | str, **options) -> list[str]:
    """What is said about a file, without its name and places: `path: message`."""
    try:
        loaded(directory, data, **options)
    except ConfigurationError as exc:
        return [f"{found.path}: {found.message}" for found in exc.problems]
    return []

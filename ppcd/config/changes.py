"""What a reload may change while the service runs.

Everything else needs a restart, which loses nothing: other nodes, or the next start, go on with
the work.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ppcd.config.settings import Settings

__all__ = ["changes"]

#: Read at each use, so a new value counts from the next charge, prompt or log line on.
CAN_APPLY: Final = re.compile(
    r"""(charges|limits|texts|words|log)\b.*
    | routes\.[^.]+\.(msisdn_prefixes|code|code_above|quarantine_s)\b.*
    """,
    re.VERBOSE,
)


def changes(old: Settings, new: Settings) -> tuple[list[str], list[str]]:
    """`(can_apply, needs_restart)`: paths of the keys that differ, sorted."""
    before, after = _flat(old), _flat(new)
    different = sorted(
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    )
    can_apply = [path for path in different if CAN_APPLY.fullmatch(path)]
    return can_apply, [path for path in different if path not in can_apply]


def _flat(settings: Settings) -> dict[str, Any]:
    """Every value by its path. A secret's new content counts, though its path is the same."""
    flat: dict[str, Any] = dict(settings.secrets)
    _flatten(settings.model_dump(), "", flat)
    return flat


def _flatten(value: Any, path: str, into: dict[str, Any]) -> None:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            _flatten(inner, f"{path}.{key}" if path else str(key), into)
    else:
        into[path] = value

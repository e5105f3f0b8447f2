"""What is wrong with the simulated SMSC at present: knobs that a test or a person turns.

Owns reading them from JSON and giving them back; each is obeyed in the one place it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ppcd.smpp import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """All well by default."""

    #: Submits a second that are taken; the others get ESME_RTHROTTLED.
    throttle_per_s: float | None = None
    #: Numbers whose submits are refused, each with its command_status.
    refuse: Mapping[str, int] | None = None
    #: Phones that no message reaches: accepted, and the receipt says so.
    undeliverable: frozenset[str] = frozenset()
    #: Of 100 answers of phones, how many are delivered a second time although acknowledged.
    duplicate_percent: float = 0.0
    #: Seconds until a submit is answered.
    answer_delay_s: float = 0.0
    #: Submits are taken and never answered.
    silent: bool = False
    #: Binds are refused with this command_status.
    refuse_binds: int | None = None

    def changed(self, wanted: Mapping[str, object]) -> Faults:
        """With these knobs turned; ValueError names the one that can't be."""
        known = {field.name for field in fields(self)}
        unknown = set(wanted) - known
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}; known: {sorted(known)}")
        read: dict[str, Any] = {name: _READ[name](name, value) for name, value in wanted.items()}
        return replace(self, **read)

    def asdict(self) -> dict[str, object]:
        """As JSON has it: command_status by name."""
        return {
            "throttle_per_s": self.throttle_per_s,
            "refuse": {number: _name(status) for number, status in (self.refuse or {}).items()},
            "undeliverable": sorted(self.undeliverable),
            "duplicate_percent": self.duplicate_percent,
            "answer_delay_s": self.answer_delay_s,
            "silent": self.silent,
            "refuse_binds": None if self.refuse_binds is None else _name(self.refuse_binds),
        }


def _name(status: int) -> str | int:
    try:
        return Status(status).name
    except ValueError:
        return status


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError(f"{name} must be a number, not negative")
    return float(value)


def _number_or_none(name: str, value: object) -> float | None:
    return None if value is None else _number(name, value)


def _switch(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false")
    return value


def _status(name: str, value: object) -> int:
    if isinstance(value, str) and value in Status.__members__:
        return int(Status[value])
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 0xFFFFFFFF:
        return value
    raise ValueError(f"{name}: {value!r} is no command_status; try ESME_RINVDSTADR or a number")


def _status_or_none(name: str, value: object) -> int | None:
    return None if value is None else _status(name, value)


def _numbers(name: str, value: object) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{name} must be a list of numbers in quotes")
    return frozenset(value)


def _refusals(name: str, value: object) -> Mapping[str, int]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be an object of number and command_status")
    return {number: _status(name, status) for number, status in value.items()}


_READ: Mapping[str, Callable[[str, object], object]] = {
    "throttle_per_s": _number_or_none,
    "refuse": _refusals,
    "undeliverable": _numbers,
    "duplicate_percent": _number,
    "answer_delay_s": _number,
    "silent": _switch,
    "refuse_binds": _status_or_none,
}

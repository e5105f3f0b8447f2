"""Who gives a command: for the record of what people decide."""

import os
import pwd
from pathlib import Path
from typing import Final

#: Linux: who logged in, whatever became of the uid since; this value is nobody.
_LOGIN_UID: Final = Path("/proc/self/loginuid")
_NOBODY_LOGGED_IN: Final = 2**32 - 1


def person() -> str:
    """Whoever gives this command."""
    return person_of(os.getuid(), _login_uid())


def person_of(uid: int, login_uid: int | None) -> str:
    """Who decides: the login that the kernel remembers, and whom it works as."""
    if login_uid is None or login_uid == uid:
        return _named(uid)
    return f"{_named(login_uid)} as {_named(uid)}"


def _named(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def _login_uid() -> int | None:
    try:
        uid = int(_LOGIN_UID.read_text())
    except (OSError, ValueError):
        return None
    return None if uid == _NOBODY_LOGGED_IN else uid

"""Secrets: read from files that only their owner can read, and never shown.

A section names a secret by the path of a file (`password_file:`) or by the name of a systemd
credential (`password_credential:`, below `$CREDENTIALS_DIRECTORY`). Environment variables and the
configuration itself leak: through /proc, `systemctl show`, backups and chats.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

__all__ = ["Secret", "SecretError", "check_file", "check_private", "credential_path", "read_secret"]

SIZE_MAX: Final = 65536
OTHERS_MODE: Final = 0o077
CREDENTIAL: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


class Secret:
    """A text that prints as ***; `reveal` where it is used, and nowhere else."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written anywhere")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


class SecretError(ValueError):
    """Why a secret's file is not used."""


def credential_path(name: str, directory: str | None) -> Path:
    """Where systemd put the credential `name` for this service."""
    if not CREDENTIAL.fullmatch(name):
        raise SecretError("must be the plain name of a credential, not a path")
    if not directory:
        raise SecretError(
            "there are no credentials here: systemd sets $CREDENTIALS_DIRECTORY for a unit with "
            "LoadCredential= (to check by hand, set it to the directory of the files)"
        )
    return Path(directory) / name


def check_file(path: Path) -> None:
    """Refuse what is no readable plain file."""
    with _opened(path):
        pass


def check_private(path: Path) -> None:
    """Refuse a secret's file that others could have read; whoever needs it reads it."""
    with _opened(path) as file:
        _refuse_shared(path, file, others_mode=OTHERS_MODE)


def read_secret(path: Path, *, others_mode: int = OTHERS_MODE) -> Secret:
    """The file's text without its last newline; refused where others could read it too.

    `others_mode` is the permission bits that nobody may have. For systemd's credentials these are
    only those of the world: the group bits there are the mask of an access list that names our
    user alone.
    """
    with _opened(path) as file:
        _refuse_shared(path, file, others_mode=others_mode)
        raw = file.read(SIZE_MAX + 1)
    if len(raw) > SIZE_MAX:
        raise SecretError(f"{path} is larger than {SIZE_MAX} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError as exc:
        raise SecretError(f"{path} is not UTF-8 text") from exc
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise SecretError(f"{path} is empty")
    if "\n" in text or "\0" in text:
        raise SecretError(f"{path} must hold one line")
    return Secret(text)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The plain file at `path`; what is checked of it is what is read."""
    try:
        # Without O_NONBLOCK, opening a pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise SecretError(f"{path} is not a plain file")
        with os.fdopen(descriptor, "rb") as file:
            yield file
    except OSError as exc:
        raise SecretError(f"{path} cannot be read: {exc.strerror}") from exc


def _refuse_shared(path: Path, file: BinaryIO, *, others_mode: int) -> None:
    mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    if mode & others_mode:
        raise SecretError(
            f"{path} can be used by others (mode {mode:04o}): chmod 600 it, and change the secret"
        )

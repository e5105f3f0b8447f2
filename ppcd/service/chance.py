"""Randomness: unpredictable numbers for codes and sessions, and names for requests.

Refuses to know what is done with them.
"""

import os
from random import Random, SystemRandom
from typing import Final
from uuid import UUID

#: Octets that the kernel is asked for at once.
PAGE_SIZE: Final = 4096


class Unpredictable(SystemRandom):
    """The kernel's randomness by the page.

    One system call a number would let go of the interpreter each time, and under load a lane takes
    it for as long as five milliseconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self._page = b""
        self._used = 0

    def getrandbits(self, k: int, /) -> int:
        size = (k + 7) // 8
        if self._used + size > len(self._page):
            self._page = os.urandom(max(size, PAGE_SIZE))
            self._used = 0
        octets = self._page[self._used : self._used + size]
        self._used += size
        return int.from_bytes(octets, "big") >> (size * 8 - k)


def new_name(random: Random) -> str:
    """A UUID of version 4 for what needs a name and no secrecy."""
    return str(UUID(int=random.getrandbits(128), version=4))

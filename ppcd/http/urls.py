"""Absolute http and https URLs, taken apart and checked before anything is sent to them."""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?\Z")
_CHARACTER_BAD = re.compile(r"[^\x21-\x7e]|[\\\"<>^`{|}]")
_HOST_LENGTH_MAX = 253


class UrlError(ValueError):
    """Not a URL that a request can be sent to; the message says why."""


@dataclass(frozen=True, slots=True)
class Url:
    """What a request needs of a URL."""

    secure: bool
    host: str  #: lower case; an IPv6 address without its brackets
    port: int
    target: bytes  #: path and query as they go on the request line

    @classmethod
    def parse(cls, text: str) -> "Url":
        """Raises UrlError. A fragment is dropped: it is none of the server's business."""
        return _parsed(text)

    @classmethod
    def _parse(cls, text: str) -> "Url":
        if _CHARACTER_BAD.search(text):
            raise UrlError("the URL has characters that must be percent-encoded")
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as exc:
            raise UrlError(f"not a URL: {exc}") from exc
        if parts.scheme not in _DEFAULT_PORTS:
            raise UrlError("the URL's scheme must be http or https")
        if parts.username is not None or parts.password is not None:
            raise UrlError("the URL must not carry a user name or password")
        host = (parts.hostname or "").lower()
        if literal_address(host) is None and (
            len(host) > _HOST_LENGTH_MAX or not _HOST.match(host)
        ):
            raise UrlError("the URL's host is missing or not a host name")
        if port == 0:
            raise UrlError("the URL's port must be 1..65535")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(
            secure=parts.scheme == "https",
            host=host,
            port=port or _DEFAULT_PORTS[parts.scheme],
            target=target.encode("ascii"),
        )

    @property
    def authority(self) -> bytes:
        """The Host header's value."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = _DEFAULT_PORTS["https" if self.secure else "http"]
        return (host if self.port == default else f"{host}:{self.port}").encode("ascii")


def literal_address(host: str) -> IPv4Address | IPv6Address | None:
    """The address, if the host is one in its usual spelling; zone ids are none."""
    try:
        found = ip_address(host)
    except ValueError:
        return None
    return None if "%" in host else found


# Billing is asked at the same few again and again.
_parsed = lru_cache(maxsize=256)(Url._parse)

"""What a handler gets and gives: requests and responses as plain values.

Knows nothing of connections. Header names are bytes throughout: a peer's header is not text until
somebody has checked it.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

JSON_TYPE: Final = (b"Content-Type", b"application/json")

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What a peer has proved to have, signed by an authority that we trust for this."""

    fingerprint: bytes  #: SHA-256 of the whole certificate
    subject: str  #: as RFC 4514 writes it, such as CN=shop,O=GameX,C=UA


@dataclass(frozen=True, slots=True)
class Request:
    """One whole request. `route` is the template it matched, `params` what stood in its place."""

    method: str
    path: str
    query_string: str
    headers: Headers  #: names in lower case
    body: bytes
    peer: str  #: the address at the other end of the connection
    route: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    certificate: ClientCertificate | None = None

    def header(self, name: bytes) -> bytes | None:
        """The only header of that (lower case) name; None when it is absent or given twice.

        Twice is as good as not at all: whoever puts a second one in wants two readers to differ.
        """
        found = self.header_values(name)
        return found[0] if len(found) == 1 else None

    def header_values(self, name: bytes) -> list[bytes]:
        """All headers of that (lower case) name."""
        return [value for have, value in self.headers if have == name]

    def query(self) -> list[tuple[str, str]]:
        """Names and values in order. Raises ValueError unless it is UTF-8 and of modest size."""
        return parse_qsl(
            self.query_string, keep_blank_values=True, errors="strict", max_num_fields=100
        )


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. A body that is an iterator is sent piece by piece as it comes."""

    status: int
    headers: Headers = ()
    body: bytes | AsyncIterator[bytes] = b""
    #: For the access log; not sent.
    notes: Mapping[str, str] = field(default_factory=dict)


#: status: reason phrase, code and message of the JSON error body
_ERRORS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("INVALID_ARGUMENT", "Client specified an invalid argument, request body or query param."),
    404: ("NOT_FOUND", "The specified resource is not found."),
    405: ("METHOD_NOT_ALLOWED", "The requested method is not allowed on the target resource."),
    408: ("REQUEST_TIMEOUT", "The request did not arrive in time."),
    413: ("PAYLOAD_TOO_LARGE", "The request body is too large."),
    431: ("HEADERS_TOO_LARGE", "The request's headers are too large."),
    500: ("INTERNAL", "Unknown server error. Typically a server bug."),
    503: ("UNAVAILABLE", "Service unavailable."),
}


def json_response(status: int, value: object, headers: Headers = ()) -> Response:
    """A JSON answer."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status, (JSON_TYPE, *headers), body)


def error_response(status: int, request: Request | None) -> Response:
    """The default answer to what never reached a handler, or broke in one. `request` may be None
    when its headers never arrived whole.
    """
    code, message = _ERRORS.get(status, ("ERROR", "The request could not be answered."))
    headers = [(b"Retry-After", b"1")] if status == 503 else []
    return json_response(status, {"status": status, "code": code, "message": message}, headers)

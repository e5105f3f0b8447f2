"""What is an answer, octet by octet; judged beside two other readers."""

import http.client
import io
from collections.abc import Sequence

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppcd.http.reader import (
    FRAMING_SIZE_MAX,
    Answer,
    AnswerReader,
    AnswerTooLarge,
    Garbled,
    read_whole,
)

_SIZE_MAX = 1000


def _read(
    pieces: Sequence[bytes], *, method: bytes = b"POST", closed: bool = False
) -> tuple[Answer | None, AnswerReader]:
    reader = AnswerReader(method, size_max=_SIZE_MAX)
    answer = None
    for piece in pieces:
        answer = reader.receive(piece)
        if answer is not None:
            break
    return (reader.finish() if closed and answer is None else answer), reader


def _said(
    pieces: Sequence[bytes], *, method: bytes = b"POST", closed: bool = False
) -> Answer | type[Exception] | None:
    """The answer; or what kind of none it is."""
    try:
        return _read(pieces, method=method, closed=closed)[0]
    except (Garbled, AnswerTooLarge) as exc:
        return type(exc)


def _octets(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


_WHOLE = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200\r\ncontent-length:0\r\n\r\n",
    b"HTTP/1.0 503 Nobody is \xe9 here\r\nContent-Length: \t 2\t\r\nX:\r\nX: y\r\n\r\n{}",
    b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 103 \r\n\r\nHTTP/1.1 204 No\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
    b"2\r\nab\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\nY: z\r\n\r\n",
]


@pytest.mark.parametrize("data", _WHOLE)
def test_an_answer_is_the_same_wherever_it_is_cut(data: bytes) -> None:
    whole = _said([data])
    assert isinstance(whole, Answer)
    for at in range(len(data)):
        assert _said([data[:at], data[at:]]) == whole, at
        assert _said([data[:at]], closed=True) is None, "cut short is no answer"
    assert _said(_octets(data)) == whole


@pytest.mark.parametrize("method", [b"POST", b"HEAD"])
@pytest.mark.parametrize("size_max", [4, _SIZE_MAX])
@pytest.mark.parametrize(
    "data", [*_WHOLE, _WHOLE[0] + b"!", _WHOLE[0][:-1], b"HTTP/1.1 200 OK\r\n"]
)
def test_read_in_one_go_an_answer_is_what_a_reader_says(
    data: bytes, size_max: int, method: bytes
) -> None:
    whole = read_whole(method, data, size_max=size_max)
    in_one_go = method == b"POST" and data in _WHOLE[:3]
    assert (whole is not None) == (in_one_go and (size_max > 4 or data in _WHOLE[1:3]))
    if whole is not None:
        reader = AnswerReader(method, size_max=size_max)
        assert whole == (reader.receive(data), reader.stays_open)


def test_an_answer_up_to_the_close_ends_there_and_nowhere_else() -> None:
    data = b"HTTP/1.1 200 OK\r\n\r\nhello"
    assert _said([data]) is None
    for pieces in ([data], _octets(data), [data[:19], data[19:]]):
        found = _said(pieces, closed=True)
        assert found == Answer(200, (), b"hello")


def test_what_came_is_what_is_said() -> None:
    answer, reader = _read([_WHOLE[2]])
    assert answer == Answer(503, ((b"content-length", b"2"), (b"x", b""), (b"x", b"y")), b"{}")
    assert answer.header(b"x") == b""
    assert answer.header(b"y") is None
    assert not reader.stays_open, "an older server closes"


def test_an_answer_to_head_has_no_body_whatever_it_says() -> None:
    for head in (b"Content-Length: 500", b"Transfer-Encoding: chunked", b"X: y"):
        answer, reader = _read([b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % head], method=b"HEAD")
        assert answer is not None
        assert answer.body == b""
        assert reader.stays_open


@pytest.mark.parametrize(
    ("data", "stays"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n\r\n", False),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x\r\nConnection: close\r\n\r\n",
            False,
        ),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", False),
        # What is behind an answer is nobody's: a wrong length, or a second answer.
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\r\n", False),
        (b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nOK", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", False),
    ],
)
def test_whether_another_request_may_follow(data: bytes, stays: bool) -> None:
    answer, reader = _read([data])
    assert answer is not None
    assert answer.body == b""
    assert reader.stays_open is stays


_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-x\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 O\x00K\r\n\r\n",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        # Lines that another reader would take for others.
        _OK + b"X: a\nContent-Length: 5\r\n\r\n",
        _OK + b"X: a\rY: b\r\n\r\n",
        _OK + b"X: a\r\n folded\r\n\r\n",
        _OK + b"Content-Length : 5\r\n\r\n",
        _OK + b" Content-Length: 5\r\n\r\n",
        _OK + b"Content Length: 5\r\n\r\n",
        _OK + b": x\r\n\r\n",
        _OK + b"nothing\r\n\r\n",
        _OK + b"X: \x00\r\n\r\n",
        _OK + b"X\xe9: y\r\n\r\n",
        # Lengths that another reader would take for others.
        _OK + b"Content-Length: x\r\n\r\n",
        _OK + b"Content-Length:\r\n\r\n",
        _OK + b"Content-Length: -1\r\n\r\n",
        _OK + b"Content-Length: +5\r\n\r\n",
        _OK + b"Content-Length: 0x5\r\n\r\n",
        _OK + b"Content-Length: 5_0\r\n\r\n",
        _OK + b"Content-Length: 1e1\r\n\r\n",
        _OK + b"Content-Length: 5 5\r\n\r\n",
        _OK + b"Content-Length: 5, 5\r\n\r\n",
        _OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
        _OK + b"Content-Length: 5\r\ncontent-length: 6\r\n\r\n",
        _OK + b"Content-Length: \xb2\r\n\r\n",
        _OK + b"Content-Length: %b\r\n\r\n" % (b"0" * 19),
        _OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        _OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        _OK + b"Transfer-Encoding: gzip\r\n\r\n",
        _OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        _OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n",
        _OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        _OK + b"Transfer-Encoding: xchunked\r\n\r\n",
        _OK + b"Transfer-Encoding: \x0bchunked\r\n\r\n",
        _OK + b"Transfer-Encoding:\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        # Chunks.
        _CHUNKED + b"zz\r\n",
        _CHUNKED + b"\r\n",
        _CHUNKED + b" 5\r\nhello",
        _CHUNKED + b"5 \r\nhello",
        _CHUNKED + b"-5\r\nhello",
        _CHUNKED + b"0x5\r\nhello",
        _CHUNKED + b"5\nhello\r\n0\r\n\r\n",
        _CHUNKED + b"5;a\nb\r\nhello",
        _CHUNKED + b"000000005\r\nhello",
        _CHUNKED + b"5;" + b"x" * 2000,
        _CHUNKED + b"5;" + b"x" * 2000 + b"\r\n",
        _CHUNKED + b"5\r\nhello!\r\n",
        _CHUNKED + b"5\r\nhello\n0",
        _CHUNKED + b"0\r\nX : y\r\n\r\n",
        _CHUNKED + b"0\r\n folded\r\n\r\n",
    ],
)
def test_what_can_be_read_in_two_ways_is_no_answer(data: bytes) -> None:
    assert _said([data]) is Garbled
    assert _said(_octets(data)) is Garbled


@pytest.mark.parametrize(
    "data",
    [
        _OK + b"Content-Length: 1001\r\n\r\n",
        _OK + b"Content-Length: 999999999999999999\r\n\r\n",
        _OK + b"\r\n" + b"x" * 1001,
        _CHUNKED + b"3e9\r\n",
        _CHUNKED + b"ffffffff\r\n",
        _CHUNKED + b"3e8\r\n" + b"x" * 1000 + b"\r\n1\r\n",
        _OK + b"X: y\r\n" * 6000,
        _OK + b"X: y\r\n" * 6000 + b"\r\n",
        _OK + b"X: " + b"y" * FRAMING_SIZE_MAX,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1500,
        _CHUNKED + b"0\r\n" + b"X: y\r\n" * 6000,
        _CHUNKED + b"1;x\r\ny\r\n" * 5000,
    ],
)
def test_what_is_too_large_is_no_answer(data: bytes) -> None:
    assert _said([data]) is AnswerTooLarge
    at = len(data) // 2
    assert _said([data[:at], data[at:]]) is AnswerTooLarge


def test_the_largest_is_one() -> None:
    answer = _said([_OK + b"Content-Length: 1000\r\n\r\n", b"x" * 1000])
    assert isinstance(answer, Answer)
    assert len(answer.body) == 1000
    chunks = b"1F4;x=y\r\n" + b"x" * 500 + b"\r\n"
    assert isinstance(_said([_CHUNKED, chunks, chunks, b"0\r\n\r\n"]), Answer)


# --- beside others

_TOKEN = st.text("abcXYZ019-_!#", min_size=1, max_size=8).map(str.encode)
_VALUE = st.text('abc 019\t;,="é', max_size=12).map(lambda text: text.strip().encode("latin-1"))
_NAMES_TAKEN = (b"content-length", b"transfer-encoding", b"connection")
_HEADERS = st.lists(
    st.tuples(_TOKEN.filter(lambda name: name.lower() not in _NAMES_TAKEN), _VALUE), max_size=4
)


@st.composite
def _answers(draw: st.DrawFn) -> tuple[Answer, bytes]:
    """An answer, and its octets as h11 would take them."""
    status = draw(st.sampled_from([200, 201, 402, 500]))
    headers = draw(_HEADERS)
    chunks = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=4))
    body = b"".join(chunks)
    chunked = draw(st.booleans())
    framing = [(b"Transfer-Encoding", b"chunked")] if chunked else []
    framing = framing or [(b"Content-Length", b"%d" % len(body))]
    at = draw(st.integers(0, len(headers)))
    headers = [*headers[:at], *framing, *headers[at:]]
    lines = b"".join(
        b"%b:%b%b\r\n" % (n, draw(st.sampled_from([b"", b" "])), v) for n, v in headers
    )
    if chunked:
        body_octets = b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"
    else:
        body_octets = body
    octets = b"HTTP/1.1 %d Whatever\r\n%b\r\n%b" % (status, lines, body_octets)
    said = tuple((name.lower(), value) for name, value in headers)
    return Answer(status, said, body), octets


@given(_answers(), st.data())
@settings(max_examples=150, deadline=None)
def test_it_reads_what_was_written_as_h11_does(
    written: tuple[Answer, bytes], data: st.DataObject
) -> None:
    answer, octets = written
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=6)))
    pieces = [octets[a:b] for a, b in zip([0, *cuts], [*cuts, len(octets)], strict=True)]
    assert _said(pieces) == answer
    assert _by_h11(octets) == answer


_PIECES = st.sampled_from(
    [
        _OK,
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 204 No\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 0\r\n",
        b"Content-Length:5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b" folded\r\n",
        b"hello",
        b"5\r\nhello\r\n",
        b"5;x\r\nhello\r\n",
        b"0\r\n\r\n",
        b"0\r\n",
        b"\x00",
        b"\xff",
    ]
)


@given(st.lists(_PIECES | st.binary(max_size=8), max_size=9), st.booleans())
@settings(max_examples=400, deadline=None)
def test_garbage_is_read_as_others_do_or_not_at_all(pieces: list[bytes], closed: bool) -> None:
    octets = b"".join([_OK, *pieces])
    found = _said([octets], closed=closed)
    assert _said(_octets(octets), closed=closed) == found
    if isinstance(found, Answer):
        assert _by_h11(octets) == found
        assert _by_the_library(octets) == (found.status, found.body)


def _by_h11(octets: bytes) -> Answer:
    """What another strict reader makes of them, up to the end of the answer."""
    connection = h11.Connection(h11.CLIENT)
    request = h11.Request(
        method="POST", target="/", headers=[("Host", "a"), ("Content-Length", "0")]
    )
    connection.send(request)
    connection.send(h11.EndOfMessage())
    connection.receive_data(octets)
    connection.receive_data(b"")
    head: h11.Response | None = None
    body = b""
    while True:
        event = connection.next_event()
        match event:
            case h11.Response():
                head = event
            case h11.Data():
                body += event.data
            case h11.EndOfMessage():
                assert head is not None
                return Answer(head.status_code, tuple(head.headers), body)
            case h11.InformationalResponse():
                pass
            case other:
                raise AssertionError(f"h11 reads {other}")


class _Socket:
    """As much of a socket as the library wants."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._octets)


def _by_the_library(octets: bytes) -> tuple[int, bytes]:
    response = http.client.HTTPResponse(_Socket(octets), method="POST")  # type: ignore[arg-type]
    response.begin()
    return response.status, response.read()

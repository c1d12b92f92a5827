"""Whatever a server answers, a download ends as the file that was meant or as a named error, within its memory."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutstream.clients.objects.download import Downloader
from cutstream.clients.objects.guard import Guard
from cutstream.clients.objects.response import Response
from cutstream.clients.objects.response_head import MAX_HEAD_BYTES
from cutstream.errors import FileTooLarge, RefusedAddress, SourceFailed, SourceUnavailable
from cutstream.settings import LimitSettings
from tests.support.http_server import HttpServer, serving

LIMIT = 20_000
SECRET = "X-Signature=s3cr3t"
FILE = bytes(range(256)) * 8

sizes = st.integers(-(2**70), 2**70).map(lambda size: f"{size:x}".encode())
odd_sizes = st.sampled_from([b"-1", b"-0", b"+5", b"0x5", b"1_0", b"", b" ", b"f" * 4000, b"5;a=b", b"\xb2", b"5\0"])
chunks = st.tuples(
    sizes | odd_sizes | st.just(b"5"), st.sampled_from([b"\r\n", b"\n", b"\r", b""]), st.binary(max_size=9)
)
fields = st.sampled_from(
    [
        *(b"Content-Length: " + value for value in (b"0", b"9", b"-1", b"+5", b"5, 5", b"5, 6", b"0x5", b"9" * 5000)),
        *(b"Transfer-Encoding: " + value for value in (b"chunked", b"gzip", b"chunked, chunked", b"identity", b"")),
        *(b"Content-Encoding: " + value for value in (b"gzip", b"deflate", b"br", b"gzip, gzip")),
        *(b"Connection: " + value for value in (b"close", b"keep-alive")),
        *(b"Location: " + value for value in (b"/photo", b"//[::1", b"http://u:p@x/", b"\xff\xfe", b"http://x:99999/")),
        *(
            b"Retry-After: " + value
            for value in (b"5", b"-1", b"9" * 5000, b"Fri, 31 Dec 99999 00:00:00 GMT", b"Mon, ")
        ),
        *(b" folded", b"no header", b"X: a\0b", b"X: a\rb"),
    ]
)
status_lines = st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 302 Found", b"HTTP/1.1 503 Busy", b"HTTP/1.1 103 Early"),
        *(b"HTTP/1.1 204 None", b"HTTP/2.0 200 OK", b"HTTP/1.1 2000", b"HTTP/1.1", b""),
    ]
)
answers = st.builds(
    lambda status, lines, body, tail: b"\r\n".join([status, *lines, b"", b""]) + b"".join(map(b"".join, body)) + tail,
    status_lines,
    st.lists(fields, max_size=4),
    st.lists(chunks, max_size=5),
    st.sampled_from([b"", b"0\r\n\r\n", b"0\r\nX: y\r\n", bytes(400_000), gzip.compress(bytes(100_000))]),
)


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    with serving(HttpServer()) as running:
        yield running


@pytest.fixture(scope="module")
def client() -> Downloader:
    limits = LimitSettings.model_validate({"max_source_bytes": LIMIT, "download_timeout_s": 5})
    return Downloader(Guard((), True), limits)


@given(answers, st.integers(0, 3))
def test_any_answer_ends_as_a_file_or_a_named_error(
    client: Downloader, server: HttpServer, answer: bytes, removed: int
) -> None:
    server.files["answer"] = answer[: len(answer) - removed]
    message = ""
    try:
        assert len(client.fetch(server.url(f"says_what_is_filed/answer?{SECRET}"))) <= LIMIT
    except (FileTooLarge, RefusedAddress, SourceFailed, SourceUnavailable) as exc:
        message = str(exc)
    assert SECRET not in message
    assert len(message) < 1000


def framed(body: bytes, parts: list[int], packed: bool) -> bytes:
    """Return an answer with this body: with a length, or in chunks of these sizes."""
    encoding = b"Content-Encoding: gzip\r\n" if packed else b""
    body = gzip.compress(body) if packed else body
    if not parts:
        return b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s" % (encoding, len(body), body)
    pieces = []
    for size in [*parts, len(body)]:
        if piece := body[:size]:
            pieces.append(b"%x\r\n%s\r\n" % (len(piece), piece))
        body = body[size:]
    return b"HTTP/1.1 200 OK\r\n%sTransfer-Encoding: chunked\r\n\r\n%s0\r\n\r\n" % (encoding, b"".join(pieces))


@given(st.lists(st.integers(1, 700), max_size=8), st.booleans(), st.data())
def test_a_file_arrives_whole_or_is_cut_and_tried_again(
    client: Downloader, server: HttpServer, parts: list[int], packed: bool, data: st.DataObject
) -> None:
    answer = framed(FILE, parts, packed)
    server.files["answer"] = answer
    assert client.fetch(server.url("says_what_is_filed/answer")) == FILE
    server.files["answer"] = answer[: data.draw(st.integers(0, len(answer) - 1))]
    with pytest.raises(SourceUnavailable):
        client.fetch(server.url("says_what_is_filed/answer"))


@given(answers)
def test_no_more_is_received_than_the_limit(answer: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_000_000)
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        response = Response(ours, method="GET", limit=LIMIT)
        try:
            response.begin()
            while response.read():
                pass
        except Exception:  # which errors there may be, the other tests say
            response.close()
        left = 0
        while piece := ours.recv(100_000):
            left += len(piece)
    assert len(answer) - left <= LIMIT + MAX_HEAD_BYTES

"""Answers as bytes on a socket, whole and cut."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from http.client import HTTPException

import pytest

from cutstream.clients.objects.response import AnswerTooLarge, Response
from cutstream.clients.objects.response_head import MAX_HEAD_BYTES, CutAnswer, MalformedAnswer

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LIMIT = 100_000


def answer(sent: bytes, limit: int = LIMIT) -> tuple[Response, bytes]:
    """Return the answer that these bytes are, and its body."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=send, args=(theirs, sent))
        sender.start()
        response = Response(ours, method="GET", limit=limit)
        try:
            response.begin()
            body = b""
            while piece := response.read(7000):
                body += piece
            assert response.isclosed()
            return response, body
        finally:
            response.close()
            ours.close()
            sender.join()


def send(sock: socket.socket, sent: bytes) -> None:
    with sock, suppress(BrokenPipeError, ConnectionResetError):
        sock.sendall(sent)


WHOLE = {
    "length": (OK + b"Content-Length: 3\r\n\r\nabc", b"abc"),
    "length twice": (OK + b"Content-Length: 3, 3\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
    "length with zeros": (OK + b"Content-Length: 003\r\n\r\nabc", b"abc"),
    "chunks": (CHUNKED + b"3\r\nabc\r\nA \t;x=y\r\n0123456789\r\n00\r\n\r\n", b"abc0123456789"),
    "trailers": (CHUNKED + b"3\r\nabc\r\n0;last\r\nX: y\r\nZ: w\r\n\r\n", b"abc"),
    "chunks in spite of a length": (OK + b"Content-Length: 1\r\n" + CHUNKED[17:] + b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
    "line feeds alone": (b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n", b"abc"),
    "after hints": (b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" * 3 + OK + b"Content-Length: 3\r\n\r\nabc", b"abc"),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
    "a hundred headers": (OK + b"Content-Length: 3\r\n" + b"X: y\r\n" * 99 + b"\r\nabc", b"abc"),
    "odd names": (OK + b"X-\xe9: y\r\na name: y\r\nContent-Length \t: 3\r\n\r\nabc", b"abc"),
    "no content": (b"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\nConnection: close\r\n\r\n", b""),
}
TO_THE_END = {
    "plain": (OK + b"\r\nabc", b"abc"),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Type: x\r\n\r\nabc", b"abc"),
    "identity": (OK + b"Transfer-Encoding: identity\r\n\r\nabc", b"abc"),
}


@pytest.mark.parametrize(("sent", "body"), [*WHOLE.values(), *TO_THE_END.values()], ids=[*WHOLE, *TO_THE_END])
def test_a_whole_answer(sent: bytes, body: bytes) -> None:
    assert answer(sent)[1] == body


@pytest.mark.parametrize("sent", [sent for sent, _ in WHOLE.values()], ids=WHOLE)
def test_an_answer_cut_anywhere_is_cut(sent: bytes) -> None:
    for end in range(len(sent)):
        with pytest.raises(CutAnswer):
            answer(sent[:end])


@pytest.mark.parametrize("sent", [sent for sent, _ in TO_THE_END.values()], ids=TO_THE_END)
def test_a_head_cut_anywhere_is_cut(sent: bytes) -> None:
    for end in range(sent.index(b"\r\n\r\n") + 4):
        with pytest.raises(CutAnswer):
            answer(sent[:end])


@pytest.mark.parametrize("head", [b"HTTP/1.1 302 Found\r\nLocation: /a.jpg", b"HTTP/1.1 404", b"HTTP/1.1 404 No\r\n"])
def test_a_cut_head_has_no_status_and_no_location(head: bytes) -> None:
    with pytest.raises(CutAnswer):
        answer(head)


@pytest.mark.parametrize(
    "size",
    [b"-1", b"-ff", b"-0", b"+5", b"0x5", b"1_0", b"", b" ", b" 5", b"5 5", b"g", b"5,", b"f" * 17, b"5\0", b"\xb2"],
)
def test_a_chunk_size_is_hexadecimal_digits(size: bytes) -> None:
    for chunk in (size + b"\r\n", b"3\r\nabc\r\n" + size + b"\r\n"):
        with pytest.raises(MalformedAnswer, match="size of a chunk"):
            answer(CHUNKED + chunk + bytes(300_000))


@pytest.mark.parametrize("size", [b"f" * 16, b"7fffffffffffffff", b"80000000", b"fffff"])
def test_an_absurd_chunk_size_is_only_a_promise(size: bytes) -> None:
    with pytest.raises(CutAnswer):
        answer(CHUNKED + size + b"\r\nabc")


@pytest.mark.parametrize(
    "body",
    [
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\r\nabc0\r\n\r\n",
        b"3;" + b"x" * 70_000 + b"\r\nabc\r\n0\r\n\r\n",
        b"0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    ],
)
def test_chunks_that_break_the_rules(body: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        answer(CHUNKED + body)


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 5, 6\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 3\r\n 4\r\n",
        b"Content-Length:\r\n",
        b"Content-Length: " + b"9" * 5000 + b"\r\n",
        b"Content-Length: -3\r\n",
        b"Content-Length: +3\r\n",
        b"Content-Length: 0x3\r\n",
        b"Content-Length: \xb3\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"Transfer-Encoding: xchunked\r\nContent-Length: 3\r\n",
        b" folded: at once\r\n",
        b"no header\r\n",
        b": x\r\n",
        b"X: a\0b\r\n",
        b"X: a\rY: b\r\n",
        b"X: y\r\n" * 101,
        b"X: " + b"y" * 70_000 + b"\r\n",
        (b"X: " + b"y" * 60_000 + b"\r\n") * 5,
        b"X: y\r\n" + b" folded for ever\r\n" * 15_000,
    ],
)
def test_a_head_that_breaks_the_rules(fields: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        answer(OK + fields + b"\r\nabc")


@pytest.mark.parametrize(
    "line",
    [
        *(b"HTTP/2.0 200 OK", b"HTTP/1.1 2000", b"HTTP/1.1 20", b"HTTP/1.1 099 X", b"HTTP/1.1 -20 X", b"ICY 200 OK"),
        *(b"HTTP/1.1", b"", b"HTTP/1.1 200 O\0K", b"SSH-2.0-OpenSSH_9.6", b"HTTP/1.1\t200 OK", b" HTTP/1.1 200 OK"),
    ],
)
def test_a_status_line_of_something_else(line: bytes) -> None:
    with pytest.raises(HTTPException, match="does not speak HTTP/1") as caught:
        answer(line + b"\r\nContent-Length: 3\r\n\r\nabc")
    assert not isinstance(caught.value, MalformedAnswer)


def test_a_folded_header_is_one() -> None:
    response, body = answer(OK + b"Location: /a\r\n\t  b\r\nContent-Length:\r\n 3\r\n\r\nabc")
    assert (response.headers["location"], body) == ("/a b", b"abc")


@pytest.mark.parametrize(
    ("head", "closes"),
    [
        (OK + b"Content-Length: 3\r\n", False),
        (OK + b"Content-Length: 3\r\nConnection: x, Close\r\n", True),
        (OK, True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: Keep-Alive\r\n", False),
        (b"HTTP/1.1 101 Switching\r\n", True),
        (b"HTTP/1.1 204 None\r\n", False),
        (OK + b"Transfer-Encoding: chunked\r\n", False),
        (OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", True),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n", True),
    ],
)
def test_which_connections_serve_again(head: bytes, closes: bool) -> None:
    body = b"0\r\n\r\n" if b"chunked" in head else b"" if b" 204" in head or b" 101" in head else b"abc"
    assert answer(head + b"\r\n" + body)[0].will_close is closes


@pytest.mark.parametrize("extra", [b"", b"\r\n", b"HTTP/1.1 200 OK\r\n\r\nevil"])
def test_a_connection_that_brings_more_than_the_answer_ends(extra: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(OK + b"Content-Length: 3\r\n\r\nabc" + extra)
        response = Response(ours, method="GET", limit=LIMIT)
        response.begin()
        assert response.read() == b"abc"
        assert response.read() == b""
        if extra:
            assert ours.recv(1) == b""
        else:
            theirs.sendall(b"next")
            assert ours.recv(4) == b"next"


def test_small_chunks_are_read_and_millions_of_tiny_ones_are_not() -> None:
    assert answer(CHUNKED + b"1\r\nx\r\n" * 200_000 + b"0\r\n\r\n", 3_000_000)[1] == b"x" * 200_000
    assert len(answer(CHUNKED + b"8\r\n01234567\r\n" * 200_000 + b"0\r\n\r\n", 3_000_000)[1]) == 1_600_000
    with pytest.raises(MalformedAnswer, match="sizes of chunks"):
        answer(CHUNKED + b"1\r\nx\r\n" * 300_000 + b"0\r\n\r\n", 3_000_000)


@pytest.mark.parametrize("sent", [OK + b"\r\n", CHUNKED + b"f" * 16 + b"\r\n", CHUNKED + b"1\r\nx\r\n" * 100_000])
def test_no_more_is_received_than_agreed(sent: bytes) -> None:
    with pytest.raises(AnswerTooLarge, match=f"{LIMIT + MAX_HEAD_BYTES:,}"):
        answer(sent + bytes(LIMIT + MAX_HEAD_BYTES))

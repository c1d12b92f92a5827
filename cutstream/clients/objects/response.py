"""An HTTP answer of which no more is received than was agreed, whatever it says about its length."""

from __future__ import annotations

import http.client
import re
import socket
from contextlib import suppress
from io import BufferedReader, RawIOBase
from typing import Any

from cutstream.clients.objects.response_head import (
    MAX_HEAD_BYTES,
    MAX_LINE_BYTES,
    CutAnswer,
    MalformedAnswer,
    read_head,
)

_PIECE_BYTES = 64 * 1024
_SPARE_FRAMING_BYTES = 1024 * 1024
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(;.*)?", re.DOTALL)


class AnswerTooLarge(http.client.HTTPException):
    """The answer has more bytes than are read, its headers and the sizes of its chunks included."""


class Response(http.client.HTTPResponse):
    """An answer that reads its head and its body itself; of http.client it keeps the interface, which urllib3 knows.

    At most `limit` bytes and MAX_HEAD_BYTES are received. Interim answers (103 Early Hints) are skipped; http.client
    would take the first for the answer, and the answer for that of the next request.
    """

    def __init__(self, sock: socket.socket, *args: Any, limit: int, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._socket = sock
        self._received = _Received(self.fp.detach(), limit + MAX_HEAD_BYTES)
        self.fp = BufferedReader(self._received)
        self._used = 0  # bytes of those received
        self._body = 0  # bytes of those used
        self._left: int | None = 0  # bytes of the body, or of the present chunk; None until the connection ends

    def begin(self, **_: Any) -> None:
        if self.headers is not None:
            return
        head = read_head(self._head_line)
        self.version, self.status, self.code, self.reason = head.version, head.status, head.status, head.reason
        self.headers = self.msg = head.fields
        self.chunked, self.length, self.will_close = head.chunked, head.length, not head.keeps_alive
        self._left = 0 if head.chunked else head.length

    def read(self, amt: int | None = None) -> bytes:
        """Return the next bytes of the body, at most `amt` (by default 64 KiB). There are fewer only at its end.

        Raises CutAnswer, MalformedAnswer, AnswerTooLarge or OSError.
        """
        wanted = amt or _PIECE_BYTES
        pieces = []
        while wanted and not self.isclosed():
            piece = self._piece(wanted)
            pieces.append(piece)
            wanted -= len(piece)
        return b"".join(pieces)

    def _piece(self, wanted: int) -> bytes:
        if self._left == 0 and self.chunked:
            self._left = self._chunk_size()
            if self._left == 0:
                self._skip_trailers()
        if self._left == 0:
            self._end()
            return b""
        piece = self.fp.read1(wanted if self._left is None else min(wanted, self._left))
        self._used += len(piece)
        self._body += len(piece)
        if self._left is None:
            if not piece:
                self._end()
            return piece
        if not piece:
            raise CutAnswer("the connection ended before the answer was whole")
        self._left -= len(piece)
        if self.chunked and self._left == 0 and self._line(2):
            raise MalformedAnswer("a chunk does not end where it says")
        return piece

    def _chunk_size(self) -> int:
        size = _CHUNK_SIZE.fullmatch(self._line(MAX_LINE_BYTES))
        if size is None:
            raise MalformedAnswer("the size of a chunk is no number")
        if self._used - self._body > self._body + _SPARE_FRAMING_BYTES:  # each chunk costs time, however small it is
            raise MalformedAnswer("more bytes for the sizes of chunks than for the file")
        return int(size[1], 16)

    def _skip_trailers(self) -> None:
        start = self._used
        while self._line(MAX_LINE_BYTES):
            if self._used - start > MAX_LINE_BYTES:
                raise MalformedAnswer(f"trailers of more than {MAX_LINE_BYTES:,} bytes")

    def _head_line(self) -> bytes:
        line = self._line(MAX_LINE_BYTES)
        if self._used > MAX_HEAD_BYTES:
            raise MalformedAnswer(f"headers of more than {MAX_HEAD_BYTES:,} bytes")
        return line

    def _line(self, limit: int) -> bytes:
        """Return the next line of at most `limit` bytes without its end, which is LF or CR LF."""
        line = self.fp.readline(limit)
        self._used += len(line)
        if line.endswith(b"\n"):
            return line[:-2] if line.endswith(b"\r\n") else line[:-1]
        if len(line) < limit:
            raise CutAnswer("the connection ended before the answer was whole")
        raise MalformedAnswer(f"a line of more than {limit:,} bytes, in the headers or between two chunks")

    def _end(self) -> None:
        """Close the answer. What came after it would be taken for the next one, so its connection ends as well."""
        unread_tls = getattr(self._socket, "pending", int)()
        if self._received.total > self._used or unread_tls:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        self.close()


class _Received(RawIOBase):
    """Counts what a socket receives. Raises AnswerTooLarge instead of receiving more than `limit` bytes."""

    def __init__(self, raw: RawIOBase, limit: int) -> None:
        self._raw = raw
        self._limit = limit
        self.total = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        room = self._limit - self.total
        if room <= 0:
            raise AnswerTooLarge(f"more than {self._limit:,} bytes, the headers and the sizes of chunks included")
        received = self._raw.readinto(memoryview(buffer)[:room])
        self.total += received or 0
        return received

    def close(self) -> None:
        self._raw.close()
        super().close()

"""Read the head of an HTTP/1 answer: the status, the header fields, and where the body ends (RFC 9112).

http.client and urllib3 take what they can make sense of, and a head that is cut for a whole one. Here a head ends with
an empty line, and whatever leaves open where the body ends is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage

MAX_HEAD_BYTES = 256 * 1024  # of all heads of an answer together: interim ones (103) come before the final one
MAX_LINE_BYTES = 64 * 1024
MAX_FIELDS = 100
SWITCHING = 101

_STATUS_LINE = re.compile(rb"HTTP/1\.(\d) +([1-9]\d\d)( [^\0\r]*)?")
_FIELD = re.compile(rb"([^\0\r: \t][^\0\r:]*):([^\0\r]*)")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH = re.compile(r"[0-9]{1,18}")
_WITHOUT_BODY = {101, 204, 304}


class CutAnswer(ConnectionError):
    """The connection ended before the answer was whole."""


class MalformedAnswer(HTTPException):
    """The answer is HTTP/1, but breaks its rules or exceeds our limits. The next one would, too."""


@dataclass(frozen=True, slots=True)
class Head:
    """A status, and fields that no longer say how the body is sent: only how long it is, if that is known."""

    version: int
    status: int
    reason: str
    fields: HTTPMessage
    chunked: bool
    length: int | None
    """Bytes of the body. None if it is chunked, or ends where the connection does."""
    keeps_alive: bool


def read_head(read_line: Callable[[], bytes]) -> Head:
    """Read the head of the final answer. `read_line` returns the next line without its end.

    Raises MalformedAnswer, and HTTPException if the peer does not speak HTTP/1.
    """
    while True:
        version, status, reason = _status(read_line())
        fields = _fields(read_line)
        if status >= 200 or status == SWITCHING:
            return _framed(version, status, reason, fields)


def _status(line: bytes) -> tuple[int, int, str]:
    parts = _STATUS_LINE.fullmatch(line)
    if parts is None:
        raise HTTPException("what answers does not speak HTTP/1")
    return (10 if parts[1] == b"0" else 11), int(parts[2]), (parts[3] or b"").decode("latin-1").strip()


def _fields(read_line: Callable[[], bytes]) -> HTTPMessage:
    lines: list[bytes] = []
    while line := read_line():
        if line.startswith((b" ", b"\t")) and lines:
            lines[-1] += b" " + line.strip(b" \t")  # folded; the limit of lines bounds what is copied
        else:
            lines.append(line)
        if len(lines) > MAX_FIELDS:
            raise MalformedAnswer(f"more than {MAX_FIELDS} headers")
    fields = HTTPMessage()
    for line in lines:
        parts = _FIELD.fullmatch(line)
        if parts is None:
            raise MalformedAnswer("a malformed header line")
        name, value = (part.decode("latin-1").strip(" \t") for part in parts.groups())
        if _NAME.fullmatch(name):  # any other, such as that of metadata in letters beyond ASCII, means nothing to us
            fields[name] = value
    return fields


def _framed(version: int, status: int, reason: str, fields: HTTPMessage) -> Head:
    codings = [coding for coding in _tokens(fields, "transfer-encoding") if coding != "identity"]
    if codings not in ([], ["chunked"]):
        raise MalformedAnswer("a `Transfer-Encoding` other than chunked")
    without_body = status in _WITHOUT_BODY
    chunked = bool(codings) and not without_body
    length = 0 if without_body else None if chunked else _length(fields)
    # Where both are given, or HTTP/1.0 is chunked, the connection must not be used again (RFC 9112, section 6.1).
    doubtful = bool(codings) and ("content-length" in fields or version == 10)
    connection = _tokens(fields, "connection")
    wanted = "keep-alive" in connection if version == 10 else "close" not in connection
    keeps_alive = wanted and not doubtful and (chunked or length is not None) and status != SWITCHING
    del fields["transfer-encoding"], fields["content-length"]
    if length is not None:
        fields["Content-Length"] = str(length)
    return Head(version, status, reason, fields, chunked, length, keeps_alive)


def _length(fields: HTTPMessage) -> int | None:
    values = set(_tokens(fields, "content-length"))
    if "content-length" not in fields:
        return None
    if len(values) != 1 or not _LENGTH.fullmatch(value := values.pop()):
        raise MalformedAnswer("a `Content-Length` that is no length")
    return int(value)


def _tokens(fields: HTTPMessage, name: str) -> list[str]:
    values = ",".join(fields.get_all(name, [])).lower().split(",")
    return [value.strip(" \t") for value in values if value.strip(" \t")]

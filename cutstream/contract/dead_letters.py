"""Dead letters: the headers of a failed request's record, and the marks that close a letter.

A dead letter is the request's record, unchanged, with headers that say why it failed. A letter is closed by a mark: a
record without a key and with an empty value, in the same partition of the topic, whose headers name the letter. Both
are in one partition, so that Kafka never drops a mark before its letter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import msgspec

from cutstream.contract.envelope import DEAD_LETTER_PREFIX, Headers, open_envelope, salvage
from cutstream.contract.messages import DECODE_ERRORS, SourceRecord
from cutstream.contract.reading.unreadable import without_bom
from cutstream.contract.redelivery import read_redelivery, without_redelivery
from cutstream.errors import InvalidRequest

MARK_PREFIX = "__cutstream.letter."

Closing = Literal["replayed", "purged", "superseded"]


class NotALetter(ValueError):
    """The record on the topic of dead letters is neither a dead letter nor a mark."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A failed request. `headers` and `value` are those of the request's first record.

    `replay` counts all its replays, of which `redelivered` are by `cutstream dead-letters replay`. `image` is empty if
    it cannot be read. `cut_from_bytes` is the size of a record that was too large to be kept whole, else 0.
    """

    id: str
    origin: SourceRecord
    code: str
    stage: str
    exception: str
    message: str
    replay: int
    redelivered: int
    labels: dict[str, str]
    image: str
    value: bytes
    headers: Headers
    cut_from_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Mark:
    """Closes the letter at `offset` of its own partition. `replay` is the number of its replay, or the letter's own."""

    closing: Closing
    offset: int
    id: str
    replay: int


class _Image(msgspec.Struct):
    image: str = ""


_image_decoder = msgspec.json.Decoder(_Image)


def read_dead_letter(value: bytes, headers: Headers) -> DeadLetter:
    """Read the record of a dead letter. Raises NotALetter."""
    reasons = {
        name.removeprefix(DEAD_LETTER_PREFIX): (text or b"").decode(errors="replace")
        for name, text in headers
        if name.startswith(DEAD_LETTER_PREFIX)
    }
    received = [(name, text) for name, text in headers if not name.startswith(DEAD_LETTER_PREFIX)]
    redelivered, original = _replays(received), without_redelivery(received)
    identity = salvage(value, original)
    try:
        return DeadLetter(
            id=reasons["request-id"],
            origin=SourceRecord(
                topic=reasons["topic"],
                partition=int(reasons["partition"]),
                offset=int(reasons["offset"]),
                timestamp_ms=int(reasons["timestamp"]),
            ),
            code=reasons["code"],
            stage=reasons["stage"],
            exception=reasons.get("exception.class.name", ""),
            message=reasons.get("exception.message", ""),
            replay=identity.replay + redelivered,
            redelivered=redelivered,
            labels=identity.labels,
            image=_image(value, original),
            value=value,
            headers=original,
            cut_from_bytes=int(reasons.get("cut-from-bytes", 0)),
        )
    except (KeyError, ValueError) as exc:
        raise NotALetter(f"not a dead letter: {exc!r}") from exc


def mark_headers(mark: Mark) -> Headers:
    """Return the headers of the record that is the mark."""
    fields = {"closing": mark.closing, "offset": mark.offset, "request-id": mark.id, "replay": mark.replay}
    return [(MARK_PREFIX + name, str(value).encode()) for name, value in fields.items()]


def is_mark(headers: Headers) -> bool:
    """Return whether a record of the topic closes a letter, instead of being one.

    A letter may have the headers of a mark, if its request had them.
    """
    names = [name for name, _ in headers]
    return any(n.startswith(MARK_PREFIX) for n in names) and not any(n.startswith(DEAD_LETTER_PREFIX) for n in names)


def read_mark(headers: Headers) -> Mark:
    """Read the record of a mark. Raises NotALetter."""
    fields = {name.removeprefix(MARK_PREFIX): (value or b"").decode(errors="replace") for name, value in headers}
    try:
        (closing,) = (name for name in get_args(Closing) if name == fields["closing"])
        return Mark(closing, int(fields["offset"]), fields["request-id"], int(fields["replay"]))
    except (KeyError, ValueError) as exc:
        raise NotALetter(f"not a mark: {exc!r}") from exc


def _replays(headers: Headers) -> int:
    try:
        delivery = read_redelivery(headers)
    except InvalidRequest:  # the requester wrote such headers, and this is why the request failed
        return 0
    return delivery.replay if delivery else 0


def _image(value: bytes, headers: Headers) -> str:
    try:
        return _image_decoder.decode(without_bom(open_envelope(value, headers).payload)).image
    except (*DECODE_ERRORS, InvalidRequest):
        return ""

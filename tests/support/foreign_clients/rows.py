"""A record that a foreign client writes, and what the worker makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple

import skimage

Client = Literal["kafka-python", "librdkafka", "Java"]
CLIENTS: tuple[Client, ...] = ("librdkafka", "kafka-python", "Java")
Headers = tuple[tuple[str, bytes | None], ...]

PHOTO = (Path(skimage.__file__).parent / "data" / "chelsea.png").as_uri()
OK = "ok"
UNANSWERED = ""
UNREAD = "unreadable_request"
INVALID = "invalid_request"
TOO_LARGE = "request_too_large"


class Name(str):
    """A header's name of bytes that are not UTF-8, for a client that takes text and encodes it."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return super().encode(encoding, "surrogateescape")


@dataclass(frozen=True, kw_only=True)
class Writer:
    """How the records of a row are written. Rows with equal writers are written together, by one producer."""

    codec: str = "none"
    acks: str = "all"
    idempotent: bool = False
    transaction: Literal["", "committed", "aborted"] = ""
    linger_ms: int = 0
    options: tuple[tuple[str, Any], ...] = ()  # of this client alone


@dataclass(frozen=True, kw_only=True)
class Row:
    """A record, and its answer: `OK`, the code of its failure, or `UNANSWERED` if it has no result.

    `form` is the line of docs/clients.md that it belongs to. Key and value together are unique in a partition.
    """

    form: str
    name: str
    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    timestamp_ms: int | None = None
    answer: str = OK
    writer: Writer = field(default_factory=Writer)
    topic: Literal["requests", "urgent", "retry"] = "requests"
    partition: int | None = None


class Written(NamedTuple):
    """A record as the broker has it, without its headers if nobody asked for them."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def origin(self) -> tuple[str, int, int]:
        return self.topic, self.partition, self.offset


def request(name: str, **fields: Any) -> bytes:
    """Return a request that succeeds, unless `fields` say otherwise. Its result carries the label `row`."""
    return json.dumps({"image": PHOTO, "outputs": ["mask"], "labels": {"row": name}, **fields}).encode()


def wrong_request(name: str) -> bytes:
    return request(name, imgae=PHOTO)


def by_writer(rows: Iterable[Row]) -> list[tuple[Writer, list[Row]]]:
    return [(writer, list(group)) for writer, group in groupby(sorted(rows, key=_writer), lambda row: row.writer)]


def _writer(row: Row) -> str:
    return repr(row.writer)


def match(rows: Iterable[Row], written: Iterable[Written], topics: Mapping[str, str]) -> dict[str, Written]:
    """Find the record of each row, by its name. Rows that name a partition choose first."""
    left = list(written)
    found: dict[str, Written] = {}
    for row in sorted(rows, key=lambda row: row.partition is None):
        record = next((record for record in left if _is_of(record, row, topics[row.topic])), None)
        assert record, f"{row.name} is not on the broker"
        left.remove(record)
        found[row.name] = record
    assert not left, f"written by no row: {left[:3]}"
    return found


def _is_of(record: Written, row: Row, topic: str) -> bool:
    same_place = record.topic == topic and row.partition in (None, record.partition)
    return same_place and (record.key, record.value) == (row.key, row.value)

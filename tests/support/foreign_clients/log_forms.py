"""Rows in logs that were compacted, deleted from, or hold what cannot be read. librdkafka writes most of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.foreign_clients import kafka_python, librdkafka
from tests.support.foreign_clients.rows import UNANSWERED, Row, Writer, request
from tests.support.group import wait_until

COMPACTED = {
    "cleanup.policy": "compact,delete",
    "message.timestamp.type": "LogAppendTime",
    "min.cleanable.dirty.ratio": "0.001",
    "segment.ms": "100",
    "delete.retention.ms": "0",
    "retention.ms": "86400000",
}
DELETED = "records that were deleted before they were read"
GAPS = "offsets that the log cleaner has removed"
MARKERS = "markers of transactions at the end of a partition"
BEFORE = "record before one that cannot be read"
UNREADABLE = "record that unpacks to more than 24 MiB"
BEHIND = "record after one that cannot be read"
FORMS = (DELETED, GAPS, MARKERS, BEFORE, UNREADABLE, BEHIND)

LOG = 2  # the partition of `requests` that loses its beginning and ends with markers
CLEANED = 0  # of `urgent`
OBSTACLES = (1, 2, 3)  # of `urgent`
UNREADABLE_AT = 1  # the offset there
TOO_MUCH = 24 * 1024 * 1024
COMMITTED = Writer(transaction="committed")
ABORTED = Writer(transaction="aborted")


def write(address: str, group: str, topics: Mapping[str, str]) -> list[Row]:
    """Write to logs, delete from them and have them compacted, before a worker has read them. Return what is left."""
    return [*_write_deleted(address, group, topics), *_write_compacted(address, topics)]


def _write_deleted(address: str, group: str, topics: Mapping[str, str]) -> list[Row]:
    gone = [_row(DELETED, f"deleted record {number}", partition=LOG) for number in range(3)]
    left = _row(DELETED, "first record that is left", partition=LOG)
    last = _row(MARKERS, "last record before the markers", partition=LOG, writer=COMMITTED)
    never = _row(MARKERS, "aborted record at the end", partition=LOG, writer=ABORTED, answer=UNANSWERED)
    for rows in (gone, [left], [last], [never]):
        librdkafka.write(address, rows, topics)
    librdkafka.commit(address, group, topics["requests"], LOG, 1)  # the group goes on where nothing is any more
    librdkafka.delete_before(address, topics["requests"], LOG, len(gone))
    return [left, last, never]


def _write_compacted(address: str, topics: Mapping[str, str]) -> list[Row]:
    def row(name: str, **fields: Any) -> Row:
        return _row(GAPS, name, topic="urgent", partition=CLEANED, **fields)

    replaced = [row("replaced", key=b"a"), row("replaced in a transaction", key=b"b", writer=COMMITTED)]
    left = [row("newest", key=b"a"), row("newest, in a transaction", key=b"b", writer=COMMITTED)]
    for each in replaced + left:
        librdkafka.write(address, [each], topics)
    rows = replaced + left

    def offsets() -> list[int]:
        return [
            record.offset
            for record in librdkafka.read_all(address, topics["urgent"])
            if record.partition == CLEANED and record.key in (b"a", b"b")
        ]

    with librdkafka.eager_log_cleaner(address):
        number = 0

        def cleaned() -> bool:
            nonlocal number
            rows.append(row(f"of a new segment {number}", key=b"%d" % number))
            librdkafka.write(address, rows[-1:], topics)
            number += 1
            return min(offsets()) > 1

        wait_until(cleaned, "the log is not compacted")
    return rows[len(replaced) :]


def write_obstacles(address: str, topics: Mapping[str, str]) -> list[Row]:
    """Write a record that can be read, one that cannot, and another, each to the partitions of `OBSTACLES`."""
    zeros = bytes(TOO_MUCH)
    gzip = Writer(codec="gzip", options=(("message.max.bytes", 2 * TOO_MUCH),))
    zstd = Writer(codec="zstd", options=(("max_request_size", 2 * TOO_MUCH),))
    headers = Writer(codec="lz4")
    obstacles = (
        (librdkafka, {"value": zeros, "writer": gzip}),
        (kafka_python, {"value": zeros, "writer": zstd}),
        (kafka_python, {"value": b"", "writer": headers, "headers": (("", b""),) * 260_000}),
    )
    rows = []
    for partition, (client, fields) in zip(OBSTACLES, obstacles, strict=True):
        place: dict[str, Any] = {"topic": "urgent", "partition": partition}
        before = _row(BEFORE, f"before obstacle {partition}", key=b"before", **place)
        obstacle = _row(UNREADABLE, f"obstacle {partition}", key=b"in the way", answer=UNANSWERED, **place, **fields)
        behind = _row(BEHIND, f"behind obstacle {partition}", key=b"behind", **place)
        librdkafka.write(address, [before], topics)
        client.write(address, [obstacle], topics)
        librdkafka.write(address, [behind], topics)
        rows += [before, obstacle, behind]
    return rows


def _row(form: str, name: str, **fields: Any) -> Row:
    return Row(form=form, name=name, **{"value": request(name), **fields})

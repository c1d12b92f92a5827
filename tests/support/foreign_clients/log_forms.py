"""Rows in logs that were compacted, deleted from, or hold what cannot be read. librdkafka writes most of them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from kafka.admin import KafkaAdminClient

from tests.support.foreign_clients import kafka_python, librdkafka
from tests.support.foreign_clients.rows import UNANSWERED, UNREAD, Row, Writer, request
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
DAMAGED = "record that the broker's disk has damaged"
UNREADABLE = "record that unpacks to more than 24 MiB"
BEHIND = "record after one that cannot be read"
FORMS = (DELETED, GAPS, MARKERS, BEFORE, DAMAGED, BEHIND, UNREADABLE)

LOG = 2  # the partition of `requests` that loses its beginning and ends with markers
CLEANED = 0  # of `urgent`
OBSTACLES = (1, 2, 3)  # of `urgent`
DAMAGED_AT = 1  # the offset there
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
    """Write to each partition of `OBSTACLES` a record, one that the disk then damages, another, a bomb, and a last."""
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
        damaged = _row(DAMAGED, f"obstacle {partition}", key=b"in the way", answer=UNANSWERED, **place)
        behind = _row(BEHIND, f"behind obstacle {partition}", key=b"behind", **place)
        bomb = _row(UNREADABLE, f"bomb {partition}", key=b"bomb", answer=UNREAD, **place, **fields)
        last = _row(BEHIND, f"behind bomb {partition}", key=b"last", **place)
        for row, writer in ((before, librdkafka), (damaged, librdkafka), (behind, librdkafka), (bomb, client)):
            writer.write(address, [row], topics)
        librdkafka.write(address, [last], topics)
        value = damage(log_folder(address) / f"{topics['urgent']}-{partition}", damaged.value or b"")
        rows += [before, replace(damaged, value=value), behind, bomb, last]
    return rows


def log_folder(address: str) -> Path:
    """Return where the only broker keeps its logs. It is on this machine."""
    with closing(KafkaAdminClient(bootstrap_servers=address)) as admin:
        (broker,) = admin.describe_log_dirs()
    (folder,) = broker["log_dirs"]
    return Path(folder["log_dir"])


def damage(log: Path, value: bytes) -> bytes:
    """Change a byte of a value on the broker's disk. Return the value as it is then."""
    changed = value.replace(b"obstacle", b"obstaclf")
    (segment,) = (file for file in log.glob("*.log") if value in file.read_bytes())
    with segment.open("r+b") as file:
        file.seek(segment.read_bytes().index(value))
        file.write(changed)
    return changed


def _row(form: str, name: str, **fields: Any) -> Row:
    return Row(form=form, name=name, **{"value": request(name), **fields})

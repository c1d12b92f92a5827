"""Batches as no client writes them, and a way to send them that looks at nothing."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Mapping

import lz4.frame
from kafka.record import MemoryRecordsBuilder
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import calc_crc32c

from cutstream.settings import KafkaSettings

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
HEADER = DefaultRecordBatch.HEADER_STRUCT
RECORDS = 2


def batch(content: Callable[[bytes], bytes], codec: int = 0, **changes: int) -> bytes:
    """Return a batch of two records. `content` makes what is behind the header of the records as they are."""
    builder = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=1 << 20)
    for value in (b"1" * 500, b"2" * 500):
        builder.append(timestamp=5, key=b"k", value=value, headers=[])
    builder.close()
    plain = bytes(builder.buffer())
    data = bytearray(plain[: HEADER.size] + content(plain[HEADER.size :]))
    fields = list(HEADER.unpack_from(data))
    fields[1], fields[5] = len(data) - 12, codec
    fields[7] = changes.get("first_timestamp", fields[7])
    fields[8] = changes.get("max_timestamp", fields[8])
    fields[12] = changes.get("count", fields[12])
    fields[6] = changes.get("last_offset_delta", fields[6])
    HEADER.pack_into(data, 0, *fields)
    struct.pack_into(
        ">I", data, DefaultRecordBatch.CRC_OFFSET, calc_crc32c(data[DefaultRecordBatch.ATTRIBUTES_OFFSET :])
    )
    return bytes(data)


def _lz4(records: bytes) -> bytes:
    return bytes(lz4.frame.compress(records, content_checksum=True, block_linked=False))


def _xerial(*blocks: bytes) -> bytes:
    framed = (struct.pack(">i", len(block)) + block for block in blocks)
    return b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1) + b"".join(framed)


SHAPES: Mapping[str, Callable[[], bytes]] = {
    "lz4 with a wrong checksum of its content": lambda: batch(lambda r: _lz4(r)[:-4] + b"1234", LZ4),
    "lz4 without its end": lambda: batch(lambda r: _lz4(r)[:-8], LZ4),
    "lz4 with bytes behind it": lambda: batch(lambda r: _lz4(r) + b"more", LZ4),
    "gzip that is none": lambda: batch(lambda r: r, GZIP),
    "zstd that is none": lambda: batch(lambda r: r, ZSTD),
    "snappy that is none": lambda: batch(lambda r: _xerial(r), SNAPPY),
    "a snappy block of 4 GiB": lambda: batch(lambda r: _xerial(b"\xff\xff\xff\xff\x0f\x00"), SNAPPY),
    "a compression that does not exist": lambda: batch(lambda r: r, 7),
    "bytes behind the records": lambda: batch(lambda r: r + b"more"),
    "a record without its end": lambda: batch(lambda r: r[:-3]),
    "a value longer than its record": lambda: batch(lambda r: r.replace(b"\xe8\x07", b"\xee\x07")),
    "a value shorter than its record": lambda: batch(lambda r: r.replace(b"\xe8\x07", b"\xe6\x07")),
    "more records than there are": lambda: batch(lambda r: r, count=3, last_offset_delta=2),
    "fewer records than there are": lambda: batch(lambda r: r, count=1, last_offset_delta=0),
    "offsets that no record has": lambda: batch(lambda r: r, last_offset_delta=90),
    "the first time of all": lambda: batch(lambda r: r, first_timestamp=-(1 << 63), max_timestamp=-(1 << 63)),
    "the last time of all": lambda: batch(lambda r: r, first_timestamp=(1 << 63) - 1, max_timestamp=-5),
}


def produce(settings: KafkaSettings, data: bytes) -> int:
    """Send a batch to the first partition of the requests. Return how many offsets it has: 0 if it is refused."""
    host, port = settings.bootstrap_servers.rsplit(":", 1)
    name = settings.requests_topic.encode()
    body = struct.pack(">hhih4s", 0, 3, 1, 4, b"hand")  # produce, version 3, a correlation id, a client id
    body += struct.pack(">hhi", -1, -1, 10_000)  # no transaction, all replicas, the time-out
    body += struct.pack(f">ih{len(name)}s", 1, len(name), name)
    body += struct.pack(">iii", 1, 0, len(data)) + data
    with socket.create_connection((host, int(port)), timeout=15) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        answer = connection.makefile("rb")
        (length,) = struct.unpack(">i", answer.read(4))
        reply = answer.read(length)
    # correlation id, one topic, its name, one partition, its number, the error, the first offset
    error, _ = struct.unpack_from(">hq", reply, 4 + 4 + 2 + len(name) + 4 + 4)
    return 0 if error else int(HEADER.unpack_from(data)[6]) + 1

"""Asks a broker to store a record as clients before Kafka 0.11 wrote it: message formats 0 and 1."""

from __future__ import annotations

import socket
import struct

from kafka.record.legacy_records import LegacyRecordBatchBuilder

TIMEOUT_S = 10
NO_ANSWER = "the broker closes the connection"
_PRODUCE = 0


def produce(address: str, topic: str, magic: int, version: int) -> int | str:
    """Send a record of format `magic` in this version of the request. Return the error's code, 0 for none, or why not.

    Clients before 0.11 know versions 0 to 2 of the request. Version 3 is the first that names a transaction.
    """
    builder = LegacyRecordBatchBuilder(magic, 0, 10_000)
    builder.append(0, timestamp=1, key=b"old", value=b"old")
    records = bytes(builder.build())
    body = struct.pack(">hi", 1, 10_000)  # acknowledged by the leader, within 10 s
    body += struct.pack(">i", 1) + _text(topic) + struct.pack(">iii", 1, 0, len(records)) + records
    transaction = struct.pack(">h", -1) if version >= 3 else b""
    message = struct.pack(">hhi", _PRODUCE, version, 7) + _text("old") + transaction + body
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), TIMEOUT_S) as connection:
        connection.sendall(struct.pack(">i", len(message)) + message)
        answer = connection.makefile("rb").read(4 + 4 + 4 + len(_text(topic)) + 4 + 4 + 2)
    return struct.unpack(">h", answer[-2:])[0] if answer else NO_ANSWER


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()

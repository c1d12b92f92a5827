"""The table of foreign clients: every record that the test writes, and its answer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from cutstream.contract.messages import SourceRecord
from cutstream.contract.redelivery import Redelivery, redelivery_headers
from tests.support.foreign_clients.rows import (
    CLIENTS,
    INVALID,
    PHOTO,
    TOO_LARGE,
    UNANSWERED,
    Client,
    Headers,
    Name,
    Row,
    Writer,
    request,
    wrong_request,
)

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
BATCH = 6
LARGE_BATCH = 150
LINGER_MS = 300
PARTITION: dict[Client, int | None] = {"kafka-python": 0, "librdkafka": 1, "Java": None}  # Java's tool cannot choose
PAST_MS = 86_400_000  # the second day of 1970
PARTITIONER = "partitioner"
AHEAD_MS = 30 * 60 * 1000  # a broker refuses what is an hour ahead

EVENT: Headers = (("ce_specversion", b"1.0"), ("ce_id", b"order/12"), ("ce_source", b"shop"), ("ce_type", b"cut"))
STRUCTURED = "application/cloudevents+json; charset=utf-8"


def table() -> dict[Client, list[Row]]:
    """Return the rows of each client, whose names are unique."""
    return {client: [_placed(row, client) for row in _rows(client)] for client in CLIENTS}


def _placed(row: Row, client: Client) -> Row:
    chosen_by_the_client = row.form == PARTITIONER or row.topic != "requests"
    placed = row if chosen_by_the_client else replace(row, partition=PARTITION[client])
    return replace(placed, name=f"{client}: {row.name}")


def _rows(client: Client) -> Iterator[Row]:
    yield from _codecs(client)
    yield from _keys(client)
    yield from _values(client)
    yield from _headers(client)
    yield from _envelopes(client)
    if client != "Java":  # one run of its tool writes to one topic
        yield from _histories(client)
    yield from _producers(client)
    if client != "Java":  # its tools take no timestamp
        yield from _timestamps(client)


def _good(client: Client, form: str, name: str = "", **fields: Any) -> Row:
    name = _name(form, name)
    return Row(form=form, name=name, value=request(f"{client}: {name}"), **fields)


def _bad(client: Client, form: str, name: str = "", **fields: Any) -> Row:
    name = _name(form, name) + ", wrong request"
    return Row(form=form, name=name, value=wrong_request(f"{client}: {name}"), answer=INVALID, **fields)


def _name(form: str, name: str) -> str:
    return f"{form}, {name}" if name else form


def _both(client: Client, form: str, name: str = "", **fields: Any) -> Iterator[Row]:
    """A request that succeeds, and one that leaves a dead letter with the same key and headers."""
    yield _good(client, form, name, **fields)
    yield _bad(client, form, name, **fields)


def _codecs(client: Client) -> Iterator[Row]:
    for codec in CODECS:
        packed = Writer(codec=codec, linger_ms=LINGER_MS)
        yield from _both(client, f"codec `{codec}`", writer=packed)
    for codec in CODECS:
        packed = Writer(codec=codec, linger_ms=LINGER_MS)
        form = "several records in a batch, of each codec"
        for number in range(BATCH):
            name = f"{codec}, record {number}"
            kinds = (_good(client, form, name, writer=packed), _bad(client, form, name, writer=packed))
            tombstone = Row(form=form, name=_name(form, name), key=name.encode(), value=None, answer=INVALID)
            yield (*kinds, replace(tombstone, writer=packed))[number % 3]
    size = "batch_size" if client == "kafka-python" else "batch.size"
    large = Writer(codec="zstd", linger_ms=LINGER_MS, options=((size, 900_000),))
    for number in range(LARGE_BATCH):
        yield _bad(client, "hundreds of records in a batch", f"record {number}", writer=large)


def _keys(client: Client) -> Iterator[Row]:
    yield from _both(client, "no key")
    yield from _both(client, "empty key", key=b"")
    yield from _both(client, "key of 100 kB", key=b"k" * 100_000)
    yield _good(client, "key of 900 kB", key=b"k" * 900_000, answer=TOO_LARGE)
    if client != "Java":  # its tool reads text
        yield from _both(client, "key that is not UTF-8", key=b"\x00\xff\xfe")


def _values(client: Client) -> Iterator[Row]:
    def refused(form: str, value: bytes | None, answer: str = INVALID, key: bytes | None = b"") -> Row:
        return Row(form=form, name=form, value=value, key=form.encode() if key == b"" else key, answer=answer)

    yield refused("tombstone", None)
    if client != "kafka-python":  # it refuses to write that
        yield refused("neither key nor value", None, key=None)
    yield refused("empty value", b"")
    yield refused("value that is not JSON", b"<image/>")
    yield refused("JSON that is no object", b"[7, null]")
    yield refused("value of 600 kB", request("large") + b" " * 600_000, TOO_LARGE)
    if client != "Java":
        yield refused("value that is not UTF-8", b"\xff\xfe{\x00}\x00")


def _headers(client: Client) -> Iterator[Row]:
    forms: dict[str, Headers] = {
        "empty header": (("a", b""),),
        "header without a name": (("", b"a"),),
        "repeated header": (("a", b"1"), ("b", b"2"), ("a", b"3")),
        "header name outside ASCII": (("größe-✂", b"1"),),
        "1,000 headers": tuple((f"h{number}", b"v") for number in range(1000)),
    }
    if client != "Java":
        forms["header that is not UTF-8"] = (("a", b"\x00\xff"),)
    if client == "kafka-python":
        forms["header name that is not UTF-8"] = ((Name("caf\udce9"), b"1"),)
    if client != "kafka-python":  # it refuses to write what it reads
        forms["null header"] = (("a", None), ("b", b"2"), ("c", None))
    for form, headers in forms.items():
        yield from _both(client, form, headers=headers)


def _envelopes(client: Client) -> Iterator[Row]:
    yield from _both(client, "CloudEvent in binary mode", headers=EVENT)
    yield _structured(client)
    for name, _ in EVENT:
        yield _bad(client, "`ce_` header that is empty", name, headers=_with(name, b""))
    if client != "Java":
        for name, _ in EVENT:
            yield _bad(client, "`ce_` header that is not UTF-8", name, headers=_with(name, b"\xff"))
    if client == "kafka-python":
        return
    for name, _ in EVENT:
        yield _bad(client, "`ce_` header that is null", name, headers=_with(name, None))
    for name in ("content-type", "traceparent", "tracestate", "__cutstream.delivery.offset"):
        yield from _both(client, f"`{name}` that is null", headers=((name, None),))


def _histories(client: Client) -> Iterator[Row]:
    """Records on the topic of retries, whose headers are believed there, from programs that should not write to it."""
    yield _good(client, "retry without a history", topic="retry", partition=0)
    histories: dict[str, Headers] = {
        "whose rest is missing": (("__cutstream.delivery.offset", b"7"),),
        "that is no number": _history(b"x"),
        "out of range": _history(b"-7"),
    }
    if client == "librdkafka":
        histories["that is null"] = _history(None)
    for name, headers in histories.items():
        row = _good(client, "retry with a damaged history", name, headers=headers, topic="retry", partition=0)
        yield replace(row, answer=INVALID)


def _history(offset: bytes | None) -> Headers:
    whole = redelivery_headers([], Redelivery(SourceRecord(topic="elsewhere", partition=0, offset=7, timestamp_ms=1)))
    return tuple((name, offset if name.endswith(".offset") else value) for name, value in whole)


def _with(name: str, value: bytes | None) -> Headers:
    return tuple((each, value if each == name else given) for each, given in EVENT)


def _structured(client: Client) -> Row:
    form = "CloudEvent in structured mode"
    data = {"image": PHOTO, "outputs": ["mask"], "labels": {"row": f"{client}: {form}"}}
    event = {"specversion": "1.0", "id": "12", "source": "shop", "type": "cut", "data": data}
    headers = (("content-type", STRUCTURED.encode()),)
    return Row(form=form, name=form, value=json.dumps(event).encode(), headers=headers)


def _producers(client: Client) -> Iterator[Row]:
    for acks in ("0", "1"):
        yield from _both(client, "producer without idempotence", f"acks {acks}", writer=Writer(acks=acks))
    yield from _both(client, "idempotent producer", writer=Writer(idempotent=True))
    yield _good(client, "transaction that is committed", writer=Writer(transaction="committed"))
    if client == "Java":  # its tool aborts nothing, and writes no key
        return
    yield _bad(client, "transaction that is committed", writer=Writer(transaction="committed"))
    aborted = Writer(transaction="aborted", codec="lz4")
    for row in _both(client, "transaction that is aborted", writer=aborted):
        yield replace(row, answer=UNANSWERED)
    if client == "librdkafka":
        for partitioner in ("random", "consistent", "murmur2_random", "fnv1a"):
            writer = Writer(options=(("partitioner", partitioner),))
            yield from _both(client, PARTITIONER, partitioner, key=partitioner.encode(), writer=writer)


def _timestamps(client: Client) -> Iterator[Row]:
    now = int(time.time() * 1000)
    times = {"1 ms": 1, "1970": PAST_MS, "in half an hour": now + AHEAD_MS, "below 0": -5, "far below 0": -(2**62)}
    if client == "kafka-python":
        times["0"] = 0  # librdkafka takes it for now
    else:
        times["none"] = -1
    for name, timestamp_ms in times.items():
        yield from _both(client, "timestamp of the producer", f"time {name}", timestamp_ms=timestamp_ms)
    for row in _both(client, "topic with `LogAppendTime`", timestamp_ms=PAST_MS):
        # The topic is compacted, too: nothing else has this key.
        yield replace(row, topic="urgent", partition=0, key=f"{client}: {row.name}".encode())


def forms(tables: Mapping[Client, Iterable[Row]]) -> dict[str, dict[Client, str]]:
    """Return the answer of each form's first row, by client, in the order of the table."""
    found: dict[str, dict[Client, str]] = {}
    for client, rows in tables.items():
        for row in rows:
            found.setdefault(row.form, {}).setdefault(client, row.answer)
    return found

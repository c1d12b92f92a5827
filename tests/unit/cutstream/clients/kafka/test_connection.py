from __future__ import annotations

from types import SimpleNamespace

import pytest

from cutstream.clients.kafka.connection import to_record
from cutstream.contract.messages import SourceRecord
from cutstream.contract.redelivery import Redelivery, read_redelivery, redelivery_headers


def test_a_header_without_a_value_is_read_as_an_empty_one() -> None:
    """The client reads such headers but refuses to write them, and a dead letter keeps all headers."""
    consumed = SimpleNamespace(
        topic="requests", partition=0, offset=1, timestamp=2, key=None, value=b"{}", headers=[("a", None), ("b", b"c")]
    )
    assert to_record(consumed).headers == [("a", b""), ("b", b"c")]


@pytest.mark.parametrize("timestamp", [None, -1, -5, -(2**62)])
def test_a_record_without_a_time_that_means_something_has_none(timestamp: int | None) -> None:
    """Brokers store any negative time, and a retry or a replay with one would be refused."""
    consumed = SimpleNamespace(
        topic="requests", partition=0, offset=1, timestamp=timestamp, key=None, value=b"{}", headers=[]
    )
    record = to_record(consumed)
    assert record.timestamp_ms == -1
    source = SourceRecord(topic="requests", partition=0, offset=1, timestamp_ms=record.timestamp_ms)
    assert read_redelivery(redelivery_headers([], Redelivery(source))) == Redelivery(source)

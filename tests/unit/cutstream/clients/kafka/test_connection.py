from __future__ import annotations

from types import SimpleNamespace

from cutstream.clients.kafka.connection import to_record


def test_a_header_without_a_value_is_read_as_an_empty_one() -> None:
    """The client reads such headers but refuses to write them, and a dead letter keeps all headers."""
    consumed = SimpleNamespace(
        topic="requests", partition=0, offset=1, timestamp=2, key=None, value=b"{}", headers=[("a", None), ("b", b"c")]
    )
    assert to_record(consumed).headers == [("a", b""), ("b", b"c")]


def test_a_record_of_the_format_without_times_has_none() -> None:
    consumed = SimpleNamespace(
        topic="requests", partition=0, offset=1, timestamp=None, key=None, value=b"{}", headers=[]
    )
    assert to_record(consumed).timestamp_ms == -1

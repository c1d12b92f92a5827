"""When a written entry counts as seen, with a scripted topic; tests/integration/kafka has a real one."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from cutstream.clients.kafka import OutgoingRecord, Record, UnreadableRecords
from cutstream.errors import BrokerUnavailable
from cutstream.settings import KafkaSettings
from producer import entries
from producer.entries import write_entries


class Writer:
    def __init__(self, settings: KafkaSettings) -> None:
        self.start = self.close = lambda: None

    def write(self, records: Iterable[OutgoingRecord]) -> None:
        assert [(record.key, record.value) for record in records] == [(b"beach", b"1")]


class Corrupt:
    """A topic whose first record cannot be read: a reader that begins behind it sees nothing of that."""

    def __init__(self, settings: KafkaSettings, topic: str, from_end: bool = False, settled: bool = False) -> None:
        assert settled
        self.caught_up = from_end
        self.start = self.close = lambda: None

    def poll(self, timeout_s: float) -> list[Record]:
        raise UnreadableRecords("backgrounds-0 cannot be read at offset 0")


def test_what_a_record_hides_that_cannot_be_read_is_not_called_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "RecordWriter", Writer)
    monkeypatch.setattr(entries, "TopicReader", Corrupt)
    with pytest.raises(BrokerUnavailable, match=r"written, but not seen by the workers yet: .* at offset 0"):
        write_entries(KafkaSettings(), "backgrounds", {"beach": b"1"})

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cutstream.clients.kafka import partition_ends
from cutstream.clients.kafka.partition_ends import PartitionEnds
from cutstream.clients.kafka.records import Partition
from cutstream.settings import KafkaSettings

P = Partition("requests", 0)


class Admin:
    def list_partition_offsets(self, partitions: Any, *_: Any) -> dict[Any, SimpleNamespace]:
        return {tp: SimpleNamespace(offset=7) for tp in partitions}

    def list_topics(self) -> list[str]:
        return []


def test_every_answer_is_a_new_mapping_also_without_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop measures when there is a new one. A worker that has lost all partitions has no lag any more."""
    monkeypatch.setattr(partition_ends, "connection_options", lambda settings: {})
    monkeypatch.setattr(partition_ends, "KafkaAdminClient", lambda **options: Admin())
    partitions = {P}
    ends = PartitionEnds(KafkaSettings(), lambda: frozenset(partitions))
    ends.refresh()
    first = ends.known
    assert first == {P: 7}
    ends.refresh()
    assert ends.known is not first
    partitions.clear()
    ends.refresh()
    assert ends.known == {}

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

    def __init__(self) -> None:
        self.deleted: set[str] = set()

    def describe_topics(self, topics: list[str]) -> list[dict[str, Any]]:
        return [{"name": topic, "error_code": 3 if topic in self.deleted else 0} for topic in topics]


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> Admin:
    admin = Admin()
    monkeypatch.setattr(partition_ends, "connection_options", lambda settings: {})
    monkeypatch.setattr(partition_ends, "KafkaAdminClient", lambda **options: admin)
    return admin


@pytest.mark.logs_errors
def test_topics_that_are_gone_are_named_once(admin: Admin, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    settings = KafkaSettings()
    ends = PartitionEnds(settings, lambda: frozenset({P}))
    assert ends.refresh()
    admin.deleted = {settings.results_topic}
    assert [ends.refresh() for _ in range(4)] == [False] * 4
    admin.deleted.add(settings.requests_topic)
    assert [ends.refresh() for _ in range(4)] == [False] * 4
    admin.deleted.clear()
    assert ends.refresh()
    (one, both, none) = [record.getMessage() for record in caplog.records]
    assert one.startswith(f"missing topics: {settings.results_topic}. Create them with `cutstream topics create`")
    assert both.startswith(f"missing topics: {settings.requests_topic}, {settings.results_topic}. ")
    assert none == "no topic is missing any more"


def test_a_topic_that_one_answer_lacks_is_not_named(admin: Admin, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    ends = PartitionEnds(KafkaSettings(), lambda: frozenset({P}))
    admin.deleted = {KafkaSettings().results_topic}
    assert not ends.refresh()
    admin.deleted.clear()
    assert ends.refresh()
    assert not caplog.records


@pytest.mark.usefixtures("admin")
def test_every_answer_is_a_new_mapping_also_without_partitions() -> None:
    """The loop measures when there is a new one. A worker that has lost all partitions has no lag any more."""
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

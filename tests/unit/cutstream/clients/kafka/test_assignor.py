"""Every worker gets its share of every topic."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.protocol.consumer.metadata import ConsumerProtocolSubscription

from cutstream.clients.kafka.assignor import TopicAssignor

TOPICS = {"requests": 6, "retry": 6, "urgent": 6}
Owned = dict[str, dict[str, list[int]]]  # the partitions of each topic, for each member


class Member(NamedTuple):
    member_id: str
    metadata: ConsumerProtocolSubscription


class Cluster:
    def topics(self) -> set[str]:
        return set(TOPICS)

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(TOPICS[topic]))


def member(name: str, owned: dict[str, list[int]]) -> Member:
    part = ConsumerProtocolSubscription.TopicPartition
    parts = [part(topic=topic, partitions=numbers) for topic, numbers in owned.items()]
    metadata = ConsumerProtocolSubscription(version=1, topics=sorted(TOPICS), user_data=b"", owned_partitions=parts)
    return Member(name, metadata)


def balance(assignor: Any, owned: Owned) -> Owned:
    """Assign until nothing moves any more, as a group does: what moves is first given up and then handed out."""
    for _ in range(3):
        assigned = assignor.assign(Cluster(), [member(name, parts) for name, parts in owned.items()])
        owned = {
            name: {topic: sorted(numbers) for topic, numbers in assignment.assigned_partitions}
            for name, assignment in assigned.items()
        }
    return owned


def everything() -> dict[str, list[int]]:
    return {topic: list(range(count)) for topic, count in TOPICS.items()}


def shares(owned: Owned, topic: str) -> list[int]:
    return sorted(len(parts.get(topic, [])) for parts in owned.values())


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 7])
def test_a_joining_worker_gets_its_share_of_every_topic(workers: int) -> None:
    owned: Owned = {"first": everything()} | {f"worker-{n}": {} for n in range(1, workers)}
    after = balance(TopicAssignor(), owned)
    for topic, count in TOPICS.items():
        assert shares(after, topic) == sorted((count + n) // workers for n in range(workers))
        numbers = [number for parts in after.values() for number in parts.get(topic, [])]
        assert sorted(numbers) == list(range(count))


def test_nothing_moves_without_a_reason() -> None:
    owned = balance(TopicAssignor(), {"a": everything(), "b": {}})
    assert balance(TopicAssignor(), owned) == owned


def test_the_client_s_assignor_still_needs_the_guard() -> None:
    after = balance(CooperativeStickyAssignor(), {"a": everything(), "b": {}})
    assert any(0 in shares(after, topic) for topic in TOPICS)

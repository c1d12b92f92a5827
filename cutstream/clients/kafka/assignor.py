"""The assignment of partitions to workers. It guards against trap 7 of the package's docstring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment


@dataclass(frozen=True)
class _Metadata:
    """What a member says about itself, with nothing but one topic in it."""

    topics: tuple[str, ...]
    owned_partitions: tuple[Any, ...]
    generation_id: int


@dataclass(frozen=True)
class _Member:
    member_id: str
    metadata: _Metadata


class TopicAssignor(CooperativeStickyAssignor):  # type: ignore[misc]
    """The client's cooperative sticky assignor, for each topic by itself, so that every worker gets its share of each.

    It keeps the client's name and wire format: members with either of the two can be in one group.
    """

    def assign(self, cluster: Any, members: Sequence[Any]) -> dict[str, ConsumerProtocolAssignment]:
        assigned: dict[str, list[tuple[str, list[int]]]] = {member.member_id: [] for member in members}
        for topic in sorted({topic for member in members for topic in member.metadata.topics}):
            subscribed = [_restricted(member, topic) for member in members if topic in member.metadata.topics]
            for member_id, assignment in super().assign(cluster, subscribed).items():
                assigned[member_id] += assignment.assigned_partitions
        return {id: ConsumerProtocolAssignment(self.version, parts, b"") for id, parts in assigned.items()}


def _restricted(member: Any, topic: str) -> _Member:
    owned = getattr(member.metadata, "owned_partitions", None) or ()
    of_topic = tuple(part for part in owned if part.topic == topic)
    return _Member(member.member_id, _Metadata((topic,), of_topic, member.metadata.generation_id))

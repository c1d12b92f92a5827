from __future__ import annotations

from collections.abc import Callable

import pytest

from cutstream.clients.kafka import GroupLag, Partition
from cutstream.errors import BrokerUnavailable
from cutstream.settings import KafkaSettings
from tests.support.group import join, requests_reader, wait_until, write

pytestmark = pytest.mark.kafka


def test_what_the_group_has_not_committed_is_its_lag(one_partition: KafkaSettings, opened: Callable) -> None:
    lag = GroupLag(one_partition, [one_partition.urgent_topic, one_partition.requests_topic])

    def knows_its_coordinator() -> bool:
        try:
            return bool(lag.measure())
        except BrokerUnavailable:  # a new broker first makes the topic of the groups
            return False

    try:
        wait_until(knows_its_coordinator, "no coordinator")
        assert lag.measure() == {one_partition.urgent_topic: 0, one_partition.requests_topic: 0}
        write(one_partition, 7)
        assert lag.measure()[one_partition.requests_topic] == 7, "a group that has never committed begins at the start"
        reader = join(opened(requests_reader(one_partition)))
        reader.commit({Partition(one_partition.requests_topic, 0): 5})
        wait_until(lambda: lag.measure()[one_partition.requests_topic] == 2, "the commit is not seen")
    finally:
        lag.close()

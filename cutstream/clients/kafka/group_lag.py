"""How many requests wait for the workers: what their group has not committed yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kafka import IsolationLevel, OffsetSpec, TopicPartition
from kafka.admin import KafkaAdminClient

from cutstream.clients.kafka.connection import connection_options
from cutstream.clients.kafka.errors import map_kafka_errors
from cutstream.settings import KafkaSettings

_TIMEOUT_MS = 4_000


class GroupLag:
    """Asks the brokers for the lag of the workers' group. One thread uses it.

    Needs the rights DESCRIBE on the group and on the topics.
    """

    def __init__(self, settings: KafkaSettings, topics: Sequence[str]) -> None:
        self._settings = settings
        self._topics = topics
        self._admin: Any = None

    def measure(self) -> Mapping[str, int]:
        """Return the number of records of each topic that the group has not committed, those in work included.

        Raises BrokerUnavailable if a broker does not answer in 4 s, and ConfigurationError if a right is missing.
        """
        try:
            with map_kafka_errors():
                if self._admin is None:
                    options = connection_options(self._settings) | {"request_timeout_ms": _TIMEOUT_MS}
                    self._admin = KafkaAdminClient(**options)
                return self._ask()
        except BaseException:
            self.close()
            raise

    def _ask(self) -> Mapping[str, int]:
        partitions = [
            TopicPartition(topic["name"], partition["partition_index"])
            for topic in self._admin.describe_topics(list(self._topics))
            for partition in topic["partitions"]
        ]
        if not partitions:
            return dict.fromkeys(self._topics, 0)
        group = self._settings.group
        committed = self._admin.list_group_offsets({group: partitions})[group]
        known = {tp: committed[tp].offset for tp in partitions if tp in committed and committed[tp].offset >= 0}
        # Workers begin at the first record of a partition that their group has never committed in.
        known |= self._offsets([tp for tp in partitions if tp not in known], OffsetSpec.EARLIEST)
        lag = dict.fromkeys(self._topics, 0)
        for partition, end in self._offsets(partitions, OffsetSpec.LATEST).items():
            lag[partition.topic] += max(0, end - known.get(partition, end))
        return lag

    def _offsets(self, partitions: Sequence[TopicPartition], which: OffsetSpec) -> dict[TopicPartition, int]:
        if not partitions:
            return {}
        asked = dict.fromkeys(partitions, which)
        found = self._admin.list_partition_offsets(asked, IsolationLevel.READ_UNCOMMITTED, _TIMEOUT_MS)
        return {partition: answer.offset for partition, answer in found.items()}

    def close(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            admin.close()

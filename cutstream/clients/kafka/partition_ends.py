"""Where partitions end. The reader does not know: while it has enough records it fetches no more, and learns no end.

The end is the one that Kafka's own tools count lag from. It is behind the records of transactions that are still open,
which wait, too: if one stays open, the lag shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kafka import IsolationLevel, OffsetSpec, TopicPartition
from kafka.admin import KafkaAdminClient

from cutstream.clients.kafka.connection import connection_options, to_partition, to_topic_partition
from cutstream.clients.kafka.errors import map_kafka_errors
from cutstream.clients.kafka.records import Partition
from cutstream.settings import KafkaSettings

_TIMEOUT_MS = 4_000


class PartitionEnds:
    """Asks the brokers for the ends of some partitions. One thread calls `refresh` and `close`; any thread `known`."""

    def __init__(self, settings: KafkaSettings, partitions: Callable[[], frozenset[Partition]]) -> None:
        self._settings = settings
        self._partitions = partitions
        self._admin: Any = None
        self.known: Mapping[Partition, int] = {}
        """For each partition the offset behind its last record, as of the last answer. Each answer is a new mapping."""

    def refresh(self) -> bool:
        """Ask, and return True. Raises BrokerUnavailable if a broker of these partitions does not answer in 4 s."""
        partitions = {to_topic_partition(partition): OffsetSpec.LATEST for partition in self._partitions()}
        try:
            with map_kafka_errors():
                if self._admin is None:
                    options = connection_options(self._settings) | {"request_timeout_ms": _TIMEOUT_MS}
                    self._admin = KafkaAdminClient(**options)
                self.known = self._ask(partitions)
        except BaseException:
            self.close()
            raise
        return True

    def _ask(self, partitions: Mapping[TopicPartition, OffsetSpec]) -> dict[Partition, int]:
        if not partitions:
            self._admin.list_topics()  # whether a broker is there
            return {}
        found = self._admin.list_partition_offsets(partitions, IsolationLevel.READ_UNCOMMITTED, _TIMEOUT_MS)
        return {to_partition(tp): answer.offset for tp, answer in found.items()}

    def close(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            admin.close()

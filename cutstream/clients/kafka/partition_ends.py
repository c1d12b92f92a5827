"""Where partitions end, and whether their topics are still there. The reader does not know: while it has enough records
it fetches no more, and learns no end; and a topic that is deleted is to it a partition less.

The end is the one that Kafka's own tools count lag from. It is behind the records of transactions that are still open,
which wait, too: if one stays open, the lag shows it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from kafka import IsolationLevel, OffsetSpec, TopicPartition
from kafka.admin import KafkaAdminClient

from cutstream.clients.kafka.connection import connection_options, to_partition, to_topic_partition
from cutstream.clients.kafka.errors import map_kafka_errors
from cutstream.clients.kafka.records import Partition
from cutstream.clients.kafka.topics import missing_topics, what_is_missing
from cutstream.settings import KafkaSettings

log = logging.getLogger(__name__)

_TIMEOUT_MS = 4_000


class PartitionEnds:
    """Asks the brokers for the ends of some partitions. One thread calls `refresh` and `close`; any thread `known`."""

    def __init__(self, settings: KafkaSettings, partitions: Callable[[], frozenset[Partition]]) -> None:
        self._settings = settings
        self._partitions = partitions
        self._admin: Any = None
        self._missing: frozenset[str] = frozenset()
        self._named: frozenset[str] = frozenset()
        self.known: Mapping[Partition, int] = {}
        """For each partition the offset behind its last record, as of the last answer. Each answer is a new mapping."""

    def refresh(self) -> bool:
        """Ask, and return whether all topics that a worker needs are there. What is missing is logged.

        Raises BrokerUnavailable if a broker of these partitions does not answer in 4 s.
        """
        partitions = {to_topic_partition(partition): OffsetSpec.LATEST for partition in self._partitions()}
        try:
            with map_kafka_errors():
                if self._admin is None:
                    options = connection_options(self._settings) | {"request_timeout_ms": _TIMEOUT_MS}
                    self._admin = KafkaAdminClient(**options)
                missing = missing_topics(self._settings, self._admin)
                self._name(missing)
                self.known = self._ask(partitions)
        except BaseException:
            self.close()
            raise
        return not missing

    def _ask(self, partitions: Mapping[TopicPartition, OffsetSpec]) -> dict[Partition, int]:
        if not partitions:
            return {}
        found = self._admin.list_partition_offsets(partitions, IsolationLevel.READ_UNCOMMITTED, _TIMEOUT_MS)
        return {to_partition(tp): answer.offset for tp, answer in found.items()}

    def _name(self, missing: frozenset[str]) -> None:
        """Say which topics are missing, once two answers in a row say so: a broker that has just started knows less."""
        gone, self._missing = missing & self._missing, missing
        if gone and not gone <= self._named:
            log.error("%s. Until then requests wait", what_is_missing(gone))
        if self._named and not missing:
            log.info("no topic is missing any more")
        self._named = (self._named | gone) & missing

    def close(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            admin.close()

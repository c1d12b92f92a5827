"""Read a topic to its end, and say why that takes long: a broker that has died, or a transaction that stays open."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing

from cutstream.clients.kafka import Record, TopicReader
from cutstream.errors import BrokerUnavailable
from cutstream.settings import KafkaSettings

log = logging.getLogger(__name__)

_POLL_S = 0.2
_SILENT_POLLS = 25  # 5 s without a record: look whether the brokers are still there
_STALLED_POLLS = 300  # a minute


def read_to_end(settings: KafkaSettings, topic: str, reader: TopicReader) -> Iterator[list[Record]]:
    """Yield what each poll of the started reader finds, until it has caught up.

    Says after 5 s that it waits for an open transaction. Raises BrokerUnavailable if a broker that is needed does not
    answer, and if nothing more arrives for a minute.
    """
    silent = 0
    while not reader.caught_up:
        if records := reader.poll(_POLL_S):
            silent = 0
            yield records
            continue
        silent += 1
        if silent % _SILENT_POLLS == 0:
            readable = _readable_ends(settings, topic)
            hidden = any(readable.get(partition, 0) < end for partition, end in reader.ends.items())
            if silent >= _STALLED_POLLS:
                raise BrokerUnavailable(_explain(topic, hidden))
            if hidden and silent == _SILENT_POLLS:
                log.warning("waiting up to a minute for a transaction that is open on topic %r", topic)


def _readable_ends(settings: KafkaSettings, topic: str) -> Mapping[int, int]:
    """Ask the brokers of all partitions, on a new connection, how far these can be read. Raises BrokerUnavailable."""
    with closing(TopicReader(settings, topic)) as reader:
        reader.start()
        return reader.ends


def _explain(topic: str, hidden: bool) -> str:
    if hidden:
        return (
            f"a transaction on topic {topic!r} is open for a minute: try again once the program that opened it has "
            "ended it, or the broker has given it up (`kafka-transactions.sh find-hanging`)"
        )
    return f"the brokers answer, but deliver no records of topic {topic!r} for a minute: look at their logs"

"""The identity of a request, which even a broken one has as far as it can be read."""

from __future__ import annotations

from dataclasses import dataclass

from consumer.jobs import Trace, delivery_of, first_delivery, origin_id
from cutstream.clients.kafka import Record
from cutstream.contract.envelope import salvage
from cutstream.contract.messages import SourceRecord
from cutstream.contract.redelivery import Redelivery
from cutstream.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Identity:
    """The fields of a result that identify its request."""

    id: str
    origin: SourceRecord
    labels: dict[str, str]
    replay: int
    trace: Trace


def identify(record: Record) -> Identity:
    """Read the identity of a request that is not admitted. Never raises."""
    delivery, salvaged = _salvage_delivery(record), salvage(record.value, record.headers)
    return Identity(
        salvaged.id or origin_id(delivery.origin),
        delivery.origin,
        salvaged.labels,
        salvaged.replay + delivery.replay,
        salvaged.trace,
    )


def _salvage_delivery(record: Record) -> Redelivery:
    try:
        return delivery_of(record)
    except InvalidRequest:
        return first_delivery(record)

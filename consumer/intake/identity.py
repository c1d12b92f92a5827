"""The identity of a request, which even a broken one has as far as it can be read."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from consumer.jobs import Trace, delivery_of, first_delivery, origin_id
from cutstream.clients.kafka import Record
from cutstream.contract.addresses import show_address
from cutstream.contract.envelope import Identity as Salvaged
from cutstream.contract.envelope import salvage
from cutstream.contract.messages import MAX_REPLAY, SourceRecord
from cutstream.contract.redelivery import Redelivery
from cutstream.errors import InvalidRequest

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """The fields of a result that identify its request. `image` is its address as results show it."""

    id: str
    origin: SourceRecord
    labels: dict[str, str]
    replay: int
    image: str | None
    trace: Trace


def identify(record: Record) -> Identity:
    """Read the identity of a request that is not admitted. Never raises."""
    delivery = _salvage_delivery(record)
    try:
        salvaged = salvage(record.value, record.headers)
    except Exception:  # a bug that this record reveals, and would reveal to every worker that reads it
        log.exception("unexpected error", extra={"request": str(record.partition), "offset": record.offset})
        salvaged = Salvaged(None, {}, 0)
    return Identity(
        salvaged.id or origin_id(delivery.origin),
        delivery.origin,
        salvaged.labels,
        min(salvaged.replay + delivery.replay, MAX_REPLAY),
        salvaged.image and show_address(salvaged.image),
        salvaged.trace,
    )


def _salvage_delivery(record: Record) -> Redelivery:
    try:
        return delivery_of(record)
    except InvalidRequest:
        return first_delivery(record)

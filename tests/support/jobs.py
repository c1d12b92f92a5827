"""Jobs for tests of the worker."""

from __future__ import annotations

from typing import Any

from consumer.jobs import Job, first_delivery
from cutstream.clients.kafka import Partition, Record
from cutstream.contract.messages import Request
from cutstream.contract.recipe import parse_recipe

RECORD = Record(Partition("requests", 0), 7, 0, None, b"", [])


def job_of(profile: str = "fast", **fields: Any) -> Job:
    """Return an admitted job with these request fields."""
    request = Request(**{"image": "file:///a.png", **fields})
    return Job(
        record=RECORD,
        origin=first_delivery(RECORD).origin,
        id=request.id or "a",
        profile=profile,
        recipe=parse_recipe(request),
        labels=request.labels,
        replay=request.replay,
    )

from __future__ import annotations

from consumer.jobs import Job
from cutstream.clients.objects import Objects
from cutstream.messages import Request
from cutstream.metrics import Metrics


def fetch(objects: Objects, metrics: Metrics, job: Job, request: Request) -> bytes:
    """The source's bytes, whatever they are."""
    data = objects.fetch(request.image)
    metrics.source_bytes.inc(len(data))
    return data

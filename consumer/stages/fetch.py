from __future__ import annotations

from consumer.jobs import Job
from consumer.resources.backgrounds import Backgrounds
from cutstream.clients.objects.store import ObjectStore
from cutstream.contract.messages import Request
from cutstream.metrics import Metrics


def fetch(objects: ObjectStore, backgrounds: Backgrounds, metrics: Metrics, job: Job, request: Request) -> bytes:
    """The source's bytes, whatever they are; the background's picture, if one is asked for, goes to the job."""
    if job.backdrop is None:  # before the source, which is fetched again at every attempt
        job.backdrop = backgrounds.open(request.background)
    data = objects.fetch(request.image)
    metrics.source_bytes.inc(len(data))
    return data

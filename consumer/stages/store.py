from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256

from consumer.intake.addresses import as_destination_errors
from consumer.jobs import Encoded, File, Job, Stored
from consumer.resources.destinations import Destinations
from consumer.resources.priority_semaphore import Order
from cutstream.clients.objects.store import ObjectStore
from cutstream.contract.ids import folder_of
from cutstream.contract.messages import StoredObject
from cutstream.metrics import Metrics


@dataclass(frozen=True)
class Store:
    """Write the files. Returns once every object is durable, which is before its result is committed."""

    objects: ObjectStore
    destinations: Destinations
    metrics: Metrics

    def __call__(self, job: Job, value: Encoded) -> Stored:
        return Stored(tuple(self._put(job, file) for file in value.files), value.findings)

    def admission(self, job: Job, order: Order, give_up: Callable[[], None]) -> AbstractContextManager[None]:
        """Hold the right to write to the job's destination inside the block. Raises Untried instead of a long wait."""
        return self.destinations.writing(job.recipe.destination, order, give_up)

    def _put(self, job: Job, file: File) -> StoredObject:
        # The key comes from the job and the bytes, never from the attempt: a repeat overwrites equal bytes, and a late
        # write by a fenced worker cannot change an object that a committed result names.
        digest = sha256(file.data).hexdigest()
        key = f"{folder_of(job.id)}/{file.output}-{digest[:12]}.{file.extension}"
        with as_destination_errors():
            uri = self.objects.resolve(job.recipe.destination, key)
            self.objects.put(uri, file.data, file.media_type, named=job.recipe.destination is not None)
        self.metrics.output_bytes.labels(file.output).inc(len(file.data))
        return StoredObject(
            output=file.output,
            uri=uri,
            bytes=len(file.data),
            sha256=digest,
            width=file.width,
            height=file.height,
            media_type=file.media_type,
        )

from __future__ import annotations

from hashlib import sha256

from consumer.jobs import Encoded, File, Job, Stored
from cutstream.clients.objects.store import ObjectStore
from cutstream.contract.messages import StoredObject
from cutstream.metrics import Metrics


def store(objects: ObjectStore, metrics: Metrics, job: Job, value: Encoded) -> Stored:
    """Returns after every object is durable, which is before the result that names it is committed."""
    return Stored(tuple(_put(objects, metrics, job, file) for file in value.files), value.findings)


def _put(objects: ObjectStore, metrics: Metrics, job: Job, file: File) -> StoredObject:
    # The key comes from the job and the bytes, never from the attempt: a repeat overwrites equal bytes, and a late
    # write by a fenced worker cannot change an object that a committed result names.
    digest = sha256(file.data).hexdigest()
    uri = objects.resolve(job.request.destination, f"{job.id}/{file.output}-{digest[:12]}.{file.extension}")
    objects.put(uri, file.data, file.media_type)
    metrics.output_bytes.labels(file.output).inc(len(file.data))
    return StoredObject(
        output=file.output,
        uri=uri,
        bytes=len(file.data),
        sha256=digest,
        width=file.width,
        height=file.height,
        media_type=file.media_type,
    )

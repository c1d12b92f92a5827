"""Jobs and their photos as clients see them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import msgspec

from producer.gateway.job_records import Job, Photo
from producer.gateway.job_runner import ID_LABEL, JOB_LABEL


class _Asked(msgspec.Struct, frozen=True):
    """What a client sees again of its request."""

    labels: dict[str, str] = {}
    deadline: str | None = None


_decoder = msgspec.json.Decoder(_Asked)


def job_view(job: Job, counts: Mapping[str, int] | None, result_age_s: float) -> dict[str, Any]:
    """Return a job as clients see it."""
    return {
        "id": job.id,
        "status": "done" if not job.open else "cancelling" if job.cancelled else "running",
        "created": _iso(job.created),
        "finished": None if job.finished is None else _iso(job.finished),
        "expires": None if job.finished is None else _iso(job.finished + result_age_s),
        "urgent": job.urgent,
        "count": job.photos,
        "waiting": job.open,
        **({} if counts is None else {"results": dict(counts)}),
        "webhook": None if job.webhook is None else {"url": job.webhook, "status": job.webhook_state or "waiting"},
    }


def photo_view(job: str, photo: Photo, prefix: str = "") -> dict[str, Any]:
    """Return a photo as clients see it. `prefix` is the path below which the gateway is published."""
    result, asked = photo.result, _decoder.decode(photo.request)
    view: dict[str, Any] = {
        "number": photo.number,
        "id": asked.labels.get(ID_LABEL, photo.id),
        "request_id": photo.id,
        "image": photo.name,
        "status": "waiting",
        "labels": {name: text for name, text in asked.labels.items() if name not in (ID_LABEL, JOB_LABEL)},
        **({} if asked.deadline is None else {"deadline": asked.deadline}),
    }
    if result is None:
        return view
    view |= {"status": result.status, "timings_ms": result.timings_ms, "attempts": result.attempts}
    view["outputs"] = [
        {
            "output": stored.output,
            "url": f"{prefix}/v1/jobs/{job}/photos/{photo.number}/{stored.output}",
            "bytes": stored.bytes,
            "sha256": stored.sha256,
            "width": stored.width,
            "height": stored.height,
            "media_type": stored.media_type,
        }
        for stored in result.objects
    ]
    if result.bbox is not None:
        box = result.bbox
        view |= {name: getattr(box, name) for name in box.__struct_fields__}
    if result.profile is not None:
        view |= {"profile": result.profile, "coverage": result.coverage, "uncertainty": result.uncertainty}
    for name, value in (("model", result.model), ("choice", result.choice)):
        if value is not None:
            view[name] = msgspec.to_builtins(value)
    if result.warnings:
        view["warnings"] = [{"code": warning.code, "message": warning.message} for warning in result.warnings]
    if result.error is not None:
        view["error"] = {
            "code": result.error.code,
            "message": result.error.message,
            "stage": result.error.stage,
            "retryable": result.error.retryable,
            **({} if result.error.cause is None else {"cause": result.error.cause}),
        }
    return view


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")

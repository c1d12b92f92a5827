"""What the page shows, as JSON. Text from strangers is made safe to be shown here, and never becomes HTML."""

from __future__ import annotations

from base64 import b64encode
from math import inf
from typing import Any

from cutstream.watching.recent import Failure, Photo, shown
from cutstream.watching.view import View

_JPEG = b"\xff\xd8"


def view_document(view: View) -> dict[str, Any]:
    """Return the numbers: seconds, bytes and counts. What is not known is null, and `drain_s` may be "never"."""
    p50, p95, p99 = view.latency
    return {
        "rate": view.rate,
        "lag": view.lag,
        "waiting": view.waiting,
        "retry_lag": view.retry_lag,
        "drain_s": "never" if view.drain_s == inf else view.drain_s,
        "oldest_s": view.oldest_s,
        "latency_s": {"p50": p50, "p95": p95, "p99": p99},
        "statuses": dict(view.statuses),
        "codes": dict(view.codes),
        "bottleneck": view.bottleneck,
        "trouble": view.trouble,
        "stages": [
            {
                "name": stage.name,
                "waiting": stage.waiting,
                "working": stage.working,
                "retrying": stage.retrying,
                "seconds": stage.seconds,
            }
            for stage in view.stages
        ],
        "workers": [
            {
                "address": shown(worker.address),
                "state": shown(worker.state),
                "away": worker.away,
                "well": worker.well,
                "halted": worker.halted,
                "rate": worker.rate,
                "in_flight": worker.in_flight,
                "window": worker.window,
                "lag": worker.lag,
                "retry_lag": worker.retry_lag,
                "memory_bytes": worker.memory,
                "device": worker.device,
            }
            for worker in view.workers
        ],
    }


def photo_document(photo: Photo) -> dict[str, Any]:
    return {
        "id": shown(photo.id),
        "at_s": photo.at_s,
        "profile": shown(photo.profile),
        "seconds": photo.seconds,
        "width": photo.width,
        "height": photo.height,
        "photo": _address(photo.photo),
        "cutout": _address(photo.cutout),
    }


def failure_document(failure: Failure) -> dict[str, Any]:
    return {
        "id": shown(failure.id),
        "at_s": failure.at_s,
        "code": failure.code,
        "stage": failure.stage,
        "message": shown(failure.message),
        "command": failure.command,
    }


def _address(picture: bytes) -> str:
    kind = "jpeg" if picture.startswith(_JPEG) else "webp"
    return f"data:image/{kind};base64,{b64encode(picture).decode()}"

"""What the HTTP service answers about jobs, and the results that it stands for. Unused fields are left out."""

from __future__ import annotations

from typing import Literal

import msgspec

from cutstream.client.errors import GatewayRefused
from cutstream.clients.http_service import Answer, GatewayUnavailable
from cutstream.compositing.specs import OutputName
from cutstream.contract.messages import (
    BoundingBox,
    Choice,
    ErrorDetail,
    Request,
    Result,
    ServedModel,
    SourceRecord,
    Status,
    StoredObject,
    WarningDetail,
)
from cutstream.errors import Cancelled
from cutstream.redaction import redact

_SHOWN = 300
UNKNOWN_SOURCE = SourceRecord(topic="", partition=0, offset=0, timestamp_ms=-1)  # HTTP does not tell it


class _Output(msgspec.Struct, frozen=True):
    output: OutputName
    bytes: int
    sha256: str
    width: int
    height: int
    media_type: str


class _Error(msgspec.Struct, frozen=True):
    code: str
    message: str
    stage: str = ""
    retryable: bool = False
    cause: str | None = None


class JobPhoto(msgspec.Struct, frozen=True):
    """A photo of a job."""

    number: int
    id: str
    image: str
    status: Status | Literal["waiting"]
    labels: dict[str, str] = {}
    outputs: tuple[_Output, ...] = ()
    foreground_left: int | None = None
    foreground_top: int | None = None
    foreground_width: int | None = None
    foreground_height: int | None = None
    profile: str | None = None
    coverage: float | None = None
    uncertainty: float | None = None
    model: ServedModel | None = None
    choice: Choice | None = None
    timings_ms: dict[str, float] = {}
    attempts: int = 1
    warnings: tuple[WarningDetail, ...] = ()
    error: _Error | None = None


class JobView(msgspec.Struct, frozen=True):
    """A job. Only the answer to a question about it has its photos."""

    id: str
    photos: tuple[JobPhoto, ...] = ()


class _Problem(msgspec.Struct, frozen=True):
    title: str = ""
    code: str = ""
    detail: str = ""


class _Refusal(msgspec.Struct, frozen=True):
    errors: tuple[_Problem, ...]


def decode_job(answer: Answer) -> JobView:
    """Return the job that an answer shows. Raises GatewayUnavailable for an answer that shows none."""
    try:
        return msgspec.json.decode(answer.body, type=JobView)
    except msgspec.DecodeError as exc:
        raise GatewayUnavailable(f"an answer ({answer.status}) is none of this service's: {exc}") from exc


def result_of(photo: JobPhoto, place: str) -> Result:
    """Return the result of a photo that is done. `place` is the address below which its outputs are."""
    assert photo.status != "waiting"
    error = photo.error
    if error is None and photo.status != "ok":
        error = _Error(photo.status, "the HTTP service does not say why")
    return Result(
        id=photo.id,
        status=photo.status,
        source=UNKNOWN_SOURCE,
        image=redact(photo.image) if "://" in photo.image else photo.image,
        objects=tuple(
            StoredObject(
                output=output.output,
                uri=f"{place}/{photo.number}/{output.output}",
                bytes=output.bytes,
                sha256=output.sha256,
                width=output.width,
                height=output.height,
                media_type=output.media_type,
            )
            for output in photo.outputs
        ),
        bbox=_box(photo),
        profile=photo.profile,
        coverage=photo.coverage,
        uncertainty=photo.uncertainty,
        model=photo.model,
        choice=photo.choice,
        timings_ms=photo.timings_ms,
        attempts=photo.attempts,
        warnings=photo.warnings,
        labels=photo.labels,
        error=None
        if error is None
        else ErrorDetail(
            code=error.code, message=error.message, stage=error.stage, retryable=error.retryable, cause=error.cause
        ),
    )


def cancelled_result(request: Request) -> Result:
    """Return the result of a request that was called off before it was sent."""
    error = ErrorDetail.of(Cancelled("called off before it was sent"), "request")
    return Result(id=request.id or "", status="cancelled", source=UNKNOWN_SOURCE, error=error, labels=request.labels)


def refusal(answer: Answer) -> GatewayRefused:
    """Return the error that an answer stands for."""
    try:
        (problem, *_) = msgspec.json.decode(answer.body, type=_Refusal).errors
    except (msgspec.DecodeError, ValueError):
        text = answer.body[:_SHOWN].decode(errors="replace").strip() or "an empty answer"
        return GatewayRefused(answer.status, "unknown", f"it may be another service: {text}")
    return GatewayRefused(answer.status, problem.code, ": ".join(filter(None, (problem.title, problem.detail))))


def _box(photo: JobPhoto) -> BoundingBox | None:
    left, top = photo.foreground_left, photo.foreground_top
    width, height = photo.foreground_width, photo.foreground_height
    if left is None or top is None or width is None or height is None:
        return None
    return BoundingBox(foreground_left=left, foreground_top=top, foreground_width=width, foreground_height=height)

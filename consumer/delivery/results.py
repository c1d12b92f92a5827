"""The records that a request leaves: its result, for a failure the dead letter, or the request itself to be retried."""

from __future__ import annotations

from dataclasses import replace

from consumer.intake.identity import Identity, identify
from consumer.jobs import Job, Progress, Stored, Trace, delivery_of
from cutstream.clients.kafka import OutgoingRecord, Record
from cutstream.clock import Clock
from cutstream.contract.addresses import show_address
from cutstream.contract.envelope import dead_letter_headers, result_headers
from cutstream.contract.messages import (
    BoundingBox,
    ErrorDetail,
    Result,
    ServedModel,
    describe_warnings,
    encode,
    status_of,
)
from cutstream.contract.redelivery import redelivery_headers
from cutstream.contract.sizes import cut, size_of
from cutstream.errors import CutstreamError
from cutstream.images.geometry import Box
from cutstream.settings import KafkaSettings


class RecordBuilder:
    """Builds results, dead letters and retries. Thread-safe."""

    def __init__(self, settings: KafkaSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    def success(self, job: Job, progress: Progress, stored: Stored) -> OutgoingRecord:
        findings = stored.findings
        selection, model = findings.segmentation.selection, findings.segmentation.model
        result = Result(
            id=job.id,
            status="ok",
            source=job.origin,
            image=show_address(job.recipe.image),
            objects=stored.objects,
            bbox=_bounding_box(findings.box),
            coverage=findings.coverage,
            uncertainty=findings.segmentation.uncertainty,
            profile=selection.profile,
            choice=selection.choice,
            model=ServedModel(name=model.name, version=model.version, digest=model.digest, networks=model.networks),
            timings_ms=progress.timings_ms,
            attempts=max(1, progress.attempts),
            warnings=describe_warnings(progress.warnings),
            labels=dict(job.labels),
            replay=job.replay,
        )
        return self._result(job.record, result, job.trace)

    def failure(self, record: Record, job: Job | None, progress: Progress, error: CutstreamError) -> OutgoingRecord:
        """Build the result of a request that has failed, expired or been cancelled.

        `job` is None if the request was refused at admission; then the result says what can be salvaged of it.
        """
        identity = _identity(record, job)
        selection = progress.selection
        result = Result(
            id=identity.id,
            status=status_of(error),
            source=identity.origin,
            image=identity.image,
            profile=selection.profile if selection else job.profile if job else None,
            choice=selection.choice if selection else None,
            timings_ms=progress.timings_ms,
            attempts=max(1, progress.attempts),
            warnings=describe_warnings(progress.warnings),
            error=ErrorDetail.of(error, progress.stage),
            labels=identity.labels,
            replay=identity.replay,
        )
        return self._result(record, result, identity.trace)

    def dead_letter(self, record: Record, job: Job | None, progress: Progress, error: CutstreamError) -> OutgoingRecord:
        """Build the untouched original, with its origin and the reason in headers. One that is too large is cut."""
        identity = _identity(record, job)
        whole = record.key, record.value, record.headers
        kept = cut(*whole)
        key, value, headers = kept or whole
        described = dead_letter_headers(
            headers,
            identity.id,
            identity.origin,
            ErrorDetail.of(error, progress.stage),
            error,
            size_of(*whole) if kept else 0,
        )
        return OutgoingRecord(self._settings.dead_letters_topic, key, value, described)

    def retry(self, record: Record, progress: Progress, not_before_ms: int) -> OutgoingRecord:
        """Build the untouched original for the retry topic, with its origin and the attempts so far in headers."""
        delivery = replace(
            delivery_of(record), attempts=progress.attempts, untried=progress.untried, not_before_ms=not_before_ms
        )
        headers = redelivery_headers(record.headers, delivery)
        return OutgoingRecord(self._settings.retry_topic, record.key, record.value, headers)

    def _result(self, record: Record, result: Result, trace: Trace) -> OutgoingRecord:
        headers = result_headers(result, self._clock.wall(), trace)
        kept = cut(record.key, record.value, record.headers)
        key = kept[0] if kept else record.key
        return OutgoingRecord(self._settings.results_topic, key, encode(result), headers)


def _identity(record: Record, job: Job | None) -> Identity:
    if job is None:
        return identify(record)
    return Identity(job.id, job.origin, dict(job.labels), job.replay, show_address(job.recipe.image), job.trace)


def _bounding_box(box: Box) -> BoundingBox:
    return BoundingBox(
        foreground_left=box.left,
        foreground_top=box.top,
        foreground_width=box.width,
        foreground_height=box.height,
    )

"""The records that answer a request: its result, and for a failure the dead letter."""

from __future__ import annotations

from consumer.intake.admission import origin_id
from consumer.jobs import Job, Stored, Trace
from cutstream.clients.kafka import OutgoingRecord, Record
from cutstream.clock import Clock
from cutstream.contract.envelope import Identity, dead_letter_headers, result_headers, salvage
from cutstream.contract.messages import ErrorDetail, Result, ServedModel, SourceRecord, encode
from cutstream.errors import CutstreamError, Expired
from cutstream.settings import KafkaSettings


class RecordBuilder:
    """Thread-safe."""

    def __init__(self, settings: KafkaSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    def ok(self, job: Job, stored: Stored) -> OutgoingRecord:
        findings = stored.findings
        ensemble = findings.ensemble
        result = Result(
            id=job.id,
            status="ok",
            source=_source(job.record),
            objects=stored.objects,
            bbox=findings.bbox,
            coverage=findings.coverage,
            uncertainty=findings.uncertainty,
            profile=job.profile,
            choice=job.choice,
            model=ServedModel(
                name=ensemble.name, version=ensemble.version, digest=ensemble.digest, networks=ensemble.networks
            ),
            timings_ms=job.timings_ms,
            attempts=job.attempts,
            labels=job.request.labels,
            replay=job.request.replay,
        )
        return self._result(job.record, result, job.trace)

    def not_ok(self, record: Record, job: Job | None, error: CutstreamError) -> OutgoingRecord:
        """`job` is None when the request could not even be read: then what can be salvaged of it is reported."""
        identity = _identity(record, job)
        result = Result(
            id=identity.id or origin_id(record),
            status="expired" if isinstance(error, Expired) else "failed",
            source=_source(record),
            profile=job.profile if job else None,
            choice=job.choice if job else None,
            timings_ms=job.timings_ms if job else {},
            attempts=job.attempts if job else 1,
            error=ErrorDetail.of(error, _stage(job)),
            labels=identity.labels,
            replay=identity.replay,
        )
        return self._result(record, result, identity.trace)

    def dead_letter(self, record: Record, job: Job | None, error: CutstreamError) -> OutgoingRecord:
        """The untouched original, with its origin and the reason in headers."""
        headers = dead_letter_headers(
            record.headers,
            _identity(record, job).id or origin_id(record),
            _source(record),
            ErrorDetail.of(error, _stage(job)),
            error,
        )
        return OutgoingRecord(self._settings.dead_letters_topic, record.key, record.value, headers)

    def _result(self, record: Record, result: Result, trace: Trace) -> OutgoingRecord:
        headers = result_headers(result, self._clock.wall(), trace)
        return OutgoingRecord(self._settings.results_topic, record.key, encode(result), headers)


def _identity(record: Record, job: Job | None) -> Identity:
    if job is None:
        return salvage(record.value, record.headers)
    return Identity(job.id, job.request.labels, job.request.replay, job.trace)


def _stage(job: Job | None) -> str:
    return job.stage if job else "request"


def _source(record: Record) -> SourceRecord:
    return SourceRecord(
        topic=record.partition.topic,
        partition=record.partition.number,
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
    )

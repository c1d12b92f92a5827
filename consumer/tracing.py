"""The spans of a request: one for its time in this worker, and one for the work of each stage."""

from __future__ import annotations

from consumer.intake.identity import identify
from consumer.jobs import Job, Progress
from cutstream.clients.kafka import Record
from cutstream.clock import Clock
from cutstream.contract.envelope import Trace
from cutstream.traces import Span, Traces, is_sampled


class RequestSpans:
    """Records the spans of requests that have ended here, or moved to the retry topic. Thread-safe.

    They are made from what the request's progress has noted anyway. The time between two stages is the wait for a slot.
    """

    def __init__(self, traces: Traces, clock: Clock) -> None:
        self._traces = traces
        self._clock = clock

    def __call__(self, record: Record, job: Job | None, progress: Progress, status: str, code: str) -> None:
        trace: Trace = job.trace if job else identify(record).trace
        if is_sampled(trace):
            now_s = self._clock.monotonic()
            wall_s = self._clock.wall() - now_s
            attributes: dict[str, str | int] = {
                "messaging.system": "kafka",
                "messaging.destination.name": record.partition.topic,
                "messaging.destination.partition.id": str(record.partition.number),
                "messaging.kafka.offset": record.offset,
                "cutstream.request": job.id if job else identify(record).id,
                "cutstream.status": status,
                "cutstream.stage": progress.stage,
                "cutstream.attempts": progress.attempts,
            }
            if code:
                attributes["cutstream.code"] = code
            if progress.selection:
                attributes["cutstream.profile"] = progress.selection.profile
            error = code if status == "failed" else ""
            whole = Span("cutout", wall_s + progress.started_s, wall_s + now_s, attributes, error)
            self._traces.record(trace, whole, _stages(progress, status, code, wall_s, now_s))


def _stages(progress: Progress, status: str, code: str, wall_s: float, now_s: float) -> list[Span]:
    """Return a span for the last attempt of each stage that has finished, and of the one that failed just now."""
    spans = []
    for name, milliseconds in progress.timings_ms.items():
        ended_s = progress.finished_s.get(name)
        if ended_s is not None:
            spans.append(Span(name, wall_s + ended_s - milliseconds / 1000, wall_s + ended_s))
        elif status in ("failed", "postponed"):
            spans.append(Span(name, wall_s + now_s - milliseconds / 1000, wall_s + now_s, error=code))
    return spans

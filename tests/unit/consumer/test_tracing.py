from __future__ import annotations

from dataclasses import replace

import pytest

from consumer.jobs import Progress
from consumer.resources.profile_selector import Selection
from consumer.tracing import RequestSpans
from cutstream.clients.kafka import Partition, Record
from cutstream.clock import ManualClock
from cutstream.traces import Span
from tests.support.jobs import job_of

PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE = (("traceparent", PARENT),)
RECORD = Record(Partition("requests", 3), 7, 1_700_000_000_000, None, b'{"image": 1, "id": "a"}', list(TRACE))


class Recorded:
    def __init__(self) -> None:
        self.calls: list[tuple[object, Span, list[Span]]] = []

    def record(self, trace, whole, parts) -> None:
        self.calls.append((trace, whole, parts))


@pytest.fixture
def progress() -> Progress:
    """Return the progress of a request that waited 0.5 s between its stages, and 0.1 s in the third until now."""
    progress = Progress(started_s=995.0, stage="segment", selection=Selection("fast"))
    progress.timings_ms = {"fetch": 1000.0, "decode": 500.0, "segment": 250.0}
    progress.finished_s = {"fetch": 996.5, "decode": 997.5}
    return progress


def recorded(progress: Progress, status: str, code: str, job=None) -> tuple[object, Span, list[Span]]:
    recorded = Recorded()
    RequestSpans(recorded, ManualClock(now=1000.0, epoch=500.0))(RECORD, job, progress, status, code)
    (call,) = recorded.calls
    return call


def job(trace=TRACE):
    return replace(job_of(id="a"), record=RECORD, trace=trace)


def test_a_request_has_a_span_and_each_stage_one_of_its_work(progress: Progress) -> None:
    progress.finished_s["segment"] = 999.5
    trace, whole, parts = recorded(progress, "ok", "", job())
    assert trace == TRACE
    assert (whole.name, whole.started_s, whole.ended_s, whole.error) == ("cutout", 1495.0, 1500.0, "")
    assert [(part.name, part.started_s, part.ended_s, part.error) for part in parts] == [
        ("fetch", 1495.5, 1496.5, ""),
        ("decode", 1497.0, 1497.5, ""),
        ("segment", 1499.25, 1499.5, ""),
    ]
    assert whole.attributes == {
        "messaging.system": "kafka",
        "messaging.destination.name": "requests",
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 7,
        "cutstream.request": "a",
        "cutstream.status": "ok",
        "cutstream.stage": "segment",
        "cutstream.attempts": 1,
        "cutstream.profile": "fast",
    }


def test_the_stage_that_failed_has_the_code(progress: Progress) -> None:
    _, whole, parts = recorded(progress, "failed", "inference_failed", job())
    assert (whole.error, whole.attributes["cutstream.code"]) == ("inference_failed", "inference_failed")
    assert [(part.name, part.error) for part in parts[1:]] == [("decode", ""), ("segment", "inference_failed")]
    assert parts[2].ended_s == 1500.0


def test_a_request_that_expired_while_it_waited_has_no_span_for_that_stage(progress: Progress) -> None:
    _, whole, parts = recorded(progress, "expired", "expired", job())
    assert [part.name for part in parts] == ["fetch", "decode"]
    assert whole.error == ""


def test_a_request_that_is_refused_unread_has_a_span(progress: Progress) -> None:
    trace, whole, parts = recorded(Progress(999.0), "failed", "invalid_request")
    assert (trace, parts) == (TRACE, [])
    assert whole.attributes["cutstream.request"] == "a"


@pytest.mark.parametrize("trace", [(), (("traceparent", PARENT[:-1] + b"0"),)])
def test_a_request_without_a_sampled_trace_has_none(progress: Progress, trace) -> None:
    recorded = Recorded()
    RequestSpans(recorded, ManualClock())(RECORD, job(trace), progress, "ok", "")
    assert recorded.calls == []

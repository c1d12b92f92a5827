"""The spans of real photos reach a collector, below those of the producer."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import DATA
from tests.support.collector import collector
from tests.support.workers import Results, submit, workers

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton]

STAGES = {"fetch", "decode", "segment", "refine", "compose", "encode", "store"}
MISSING = "failed_image_download"
PARENT = "00f067aa0ba902b7"


def trace(number: int, flags: str = "01") -> list[tuple[str, bytes]]:
    return [("traceparent", f"00-{number:032x}-{PARENT}-{flags}".encode())]


def test_a_request_has_spans_for_its_stages_in_the_producers_trace(settings, tmp_path) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    photo = (DATA / "astronaut.png").as_uri()
    with collector() as got:
        traced = settings.model_copy(
            update={"worker": settings.worker.model_copy(update={"traces_url": got.url, "drain_timeout_s": 10})}
        )
        with workers(traced, tmp_path) as (worker,), Results(settings.kafka) as results:
            submit(settings.kafka, [{"id": "good", "image": photo}], trace(1))
            submit(settings.kafka, [{"id": "missing", "image": f"{photo}.no"}], trace(2))
            submit(settings.kafka, [b'{"id": "broken"'], trace(3))
            submit(settings.kafka, [{"id": "unsampled", "image": photo}], trace(4, "00"))
            submit(settings.kafka, [{"id": "untraced", "image": photo}])
            results.wait_for(5, 120)
            assert worker.terminate() == 0
    by_trace = {number: [s for s in got.spans if int.from_bytes(s.trace_id, "big") == number] for number in (1, 2, 3)}
    assert sum(map(len, by_trace.values())) == len(got.spans), "those that are not sampled leave none"
    for spans in by_trace.values():
        (whole,) = (span for span in spans if span.name == "cutout")
        assert whole.parent_span_id.hex() == PARENT
        for span in spans:
            assert whole.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
            assert span.end_time_unix_nano <= whole.end_time_unix_nano
            assert span is whole or span.parent_span_id == whole.span_id
    assert {span.name for span in by_trace[1]} == {"cutout", *STAGES}
    assert {span.name: span.status.message for span in by_trace[2]} == {"cutout": MISSING, "fetch": MISSING}
    assert [span.name for span in by_trace[3]] == ["cutout"]

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from cutstream.traces import Span, Traces, is_sampled, open_traces
from tests.support.collector import collector

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = (("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01".encode()), ("tracestate", b"shop=1"))
WHOLE = Span("cutout", 1_700_000_000.25, 1_700_000_002.5, {"cutstream.request": "a"}, "image_not_found")
PARTS = [Span("fetch", 1_700_000_000.5, 1_700_000_001.5), Span("decode", 1_700_000_002, 1_700_000_002.5, error="x")]


@pytest.fixture(autouse=True)
def restored_log() -> Iterator[None]:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    client = logging.getLogger("opentelemetry")
    before = client.handlers, client.propagate
    yield
    client.handlers, client.propagate = before


@pytest.mark.parametrize(
    ("parent", "sampled"),
    [
        (b"00-a-b-01", True),
        (b"00-a-b-00", False),
        (b"00-a-b-02", False),
        (b"01-a-b-ff-more", True),
    ],
)
def test_the_producer_decides_whether_a_trace_is_recorded(parent: bytes, sampled: bool) -> None:
    assert is_sampled((("traceparent", parent),)) is sampled
    assert not is_sampled(())


def test_spans_lie_below_that_of_the_producer_with_the_times_of_the_work() -> None:
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    memory = InMemorySpanExporter()
    traces = Traces(SimpleSpanProcessor(memory))
    traces.record(SAMPLED, WHOLE, PARTS)
    fetch, decode, whole = memory.get_finished_spans()
    assert [span.name for span in (whole, fetch, decode)] == ["cutout", "fetch", "decode"]
    assert {f"{span.context.trace_id:032x}" for span in (whole, fetch, decode)} == {TRACE_ID}
    assert f"{whole.parent.span_id:016x}" == PARENT_ID
    assert {fetch.parent.span_id, decode.parent.span_id} == {whole.context.span_id}
    assert whole.context.trace_state == {"shop": "1"}
    assert (whole.start_time, whole.end_time) == (1_700_000_000_250_000_000, 1_700_000_002_500_000_000)
    assert (fetch.end_time - fetch.start_time) == 1_000_000_000
    assert (whole.status.description, fetch.status.is_unset) == ("image_not_found", True)
    assert whole.attributes == {"cutstream.request": "a"}
    traces.close()


def test_a_trace_that_is_not_sampled_leaves_nothing() -> None:
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    memory = InMemorySpanExporter()
    traces = Traces(SimpleSpanProcessor(memory))
    traces.record((("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-00".encode()),), WHOLE, PARTS)
    traces.record((), WHOLE, PARTS)
    assert memory.get_finished_spans() == ()


def test_a_collector_receives_them_with_the_standard_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    with collector() as got:
        traces = open_traces(got.url)
        traces.record(SAMPLED, WHOLE, PARTS)
        traces.close()
    assert {span.name for span in got.spans} == {"cutout", "fetch", "decode"}
    assert {span.trace_id.hex() for span in got.spans} == {TRACE_ID}
    (whole,) = (span for span in got.spans if span.name == "cutout")
    assert whole.parent_span_id.hex() == PARENT_ID
    assert whole.end_time_unix_nano - whole.start_time_unix_nano == 2_250_000_000
    assert got.resource["service.name"] == "cutstream"
    assert got.resource["deployment.environment"] == "test"
    assert got.headers[0]["Authorization"] == "Bearer abc"


def test_the_service_may_have_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "cutouts-eu")
    with collector() as got:
        traces = open_traces(got.url)
        traces.record(SAMPLED, WHOLE, ())
        traces.close()
    assert got.resource["service.name"] == "cutouts-eu"


def test_a_silent_collector_neither_holds_up_the_exit_nor_fills_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        traces = open_traces(f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces")
        for _ in range(5000):
            traces.record(SAMPLED, WHOLE, ())
        began = time.monotonic()
        traces.close()
        assert time.monotonic() - began < 20
        warnings = [entry.getMessage() for entry in caplog.records if entry.name == "cutstream.traces"]
    assert len(warnings) == 1, warnings
    assert warnings[0].startswith("traces: ")


def test_the_clients_warnings_are_one_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    open_traces("http://127.0.0.1:1/v1/traces").close()
    client = logging.getLogger("opentelemetry")
    client.handlers, (used,) = [], client.handlers  # exporters of other tests may still be retrying, and use this one
    fold = type(used)()
    caplog.clear()
    client = logging.Logger("opentelemetry.exporter.otlp")
    client.addHandler(fold)
    client.info("chatting")
    client.error("cannot reach\nthe collector", exc_info=True)
    client.warning("cannot reach it again")
    assert [(entry.getMessage(), entry.exc_info) for entry in caplog.records if entry.name == "cutstream.traces"] == [
        ("traces: cannot reach", None)
    ]


def test_nothing_is_imported_without_the_setting() -> None:
    program = "import sys, consumer.app; sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], timeout=120, check=False).returncode == 0

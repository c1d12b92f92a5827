"""Spans for OpenTelemetry, which the extra `traces` installs, and which nothing else imports: here, once it is wanted.

They join the trace of the producer's `traceparent`, if that is sampled. Without one, a request leaves none.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cutstream import __version__
from cutstream.contract.envelope import Trace

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

PACKAGES = "the packages of the extra `traces`: pip install 'cutstream[traces]'"
_CLOSE_S = 3.0
_SAID_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of work. Times are seconds since the epoch. `error` is its error code, empty if it went well."""

    name: str
    started_s: float
    ended_s: float
    attributes: Mapping[str, str | int] = field(default_factory=dict)
    error: str = ""


def is_sampled(trace: Trace) -> bool:
    """Tell whether the producer records this trace: the last bit of the flags in its `traceparent`."""
    return any(name == "traceparent" and int(value.split(b"-")[3], 16) & 1 for name, value in trace)


def are_installed() -> bool:
    try:
        import opentelemetry.exporter.otlp.proto.http
        import opentelemetry.sdk.trace  # noqa: F401
    except ImportError:
        return False
    return True


class Traces:
    """Sends spans on threads of its own. What a collector does not take in time is dropped, and the log says so."""

    def __init__(self, processor: SpanProcessor) -> None:
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        ours = Resource({"service.name": "cutstream", "service.version": __version__})
        self._provider = TracerProvider(
            ParentBased(ALWAYS_OFF), ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("cutstream", __version__)
        self._context = TraceContextTextMapPropagator()

    def record(self, trace: Trace, whole: Span, parts: Iterable[Span]) -> None:
        """Record a piece of work that has ended, below the producer's span, and its parts below it. Thread-safe."""
        from opentelemetry.trace import SpanKind, set_span_in_context

        parent = self._context.extract({name: value.decode("ascii") for name, value in trace})
        span = self._start(whole, parent, kind=SpanKind.CONSUMER)
        below = set_span_in_context(span, parent)
        for part in parts:
            _end(part, self._start(part, below))
        _end(whole, span)

    def _start(self, work: Span, context: Any, **options: Any) -> Any:
        return self._tracer.start_span(
            work.name, context, attributes=work.attributes, start_time=_nanoseconds(work.started_s), **options
        )

    def close(self) -> None:
        """Send what is left, for three seconds at most: a collector that is away must not hold up the exit."""
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(_CLOSE_S)


def open_traces(url: str) -> Traces:
    """Send spans to a collector by OTLP over HTTP. The OTEL_* variables say the rest, such as headers and time-outs."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    client = logging.getLogger("opentelemetry")
    client.handlers, client.propagate = [_Fold()], False
    return Traces(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))


def _end(work: Span, span: Any) -> None:
    from opentelemetry.trace import Status, StatusCode

    if work.error:
        span.set_status(Status(StatusCode.ERROR, work.error))
    span.end(_nanoseconds(work.ended_s))


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e6) * 1000  # a float has no nanoseconds


class _Fold(logging.Handler):
    """Passes one warning of OpenTelemetry a minute, without its stack trace: a collector that is away causes many."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said_s = -_SAID_EVERY_S

    def emit(self, record: logging.LogRecord) -> None:
        if (now := time.monotonic()) - self._said_s >= _SAID_EVERY_S:
            self._said_s = now
            logging.getLogger(__name__).warning("traces: %s", record.getMessage().splitlines()[0])

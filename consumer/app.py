"""The composition root: the only place that constructs the worker's parts."""

from __future__ import annotations

import logging
import os
import resource
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from math import nan
from typing import TYPE_CHECKING

from consumer.delivery.doubts import About, Doubts
from consumer.delivery.outcomes import Outcome, TrackedRecord
from consumer.delivery.results import RecordBuilder
from consumer.delivery.retries import RetryPolicy
from consumer.handler import RequestHandler
from consumer.health import HealthServer
from consumer.intake.addresses import check_addresses
from consumer.intake.admission import admit
from consumer.intake.cancellations import Cancellations
from consumer.intake.preset_files import read_presets
from consumer.jobs import Job, Progress
from consumer.loop import Loop
from consumer.pipeline import Dependencies, build_pipeline
from consumer.preflight import check_settings
from consumer.previews import Previews
from consumer.readiness import Readiness
from consumer.resources.allocator import keep_freed_memory, trim_memory
from consumer.resources.background_catalogue import BackgroundCatalogue
from consumer.resources.backgrounds import BackgroundStore
from consumer.resources.cache import Cache
from consumer.resources.decoding.pool import DecoderPool
from consumer.resources.destinations import STORE_SLOTS, Destinations
from consumer.resources.latency import LatencyEstimator
from consumer.resources.long_work import LongWork
from consumer.resources.matting_code import MattingCode
from consumer.resources.memory_budget import MemoryBudget
from consumer.resources.priority_semaphore import PrioritySemaphore
from consumer.resources.probe import Probe
from consumer.resources.profile_selector import ProfileSelector
from consumer.resources.sources import Sources
from consumer.resources.untried import Reason
from consumer.resources.waits import Waits
from consumer.runner import Runner
from consumer.stages.segment import Segment
from consumer.starting import StartPeriod, in_background, start_with_broker
from consumer.tracing import RequestSpans
from consumer.window import Window
from cutstream.arrays.device import open_device
from cutstream.arrays.ops import ArrayOps
from cutstream.clients.kafka import (
    AtLeastOnceCommitter,
    Committer,
    NoTopic,
    PartitionEnds,
    RequestReader,
    TransactionalCommitter,
    check_topics,
)
from cutstream.clients.kafka.checksums import use_fast_checksums
from cutstream.clients.objects.store import ObjectStore
from cutstream.clients.triton import Triton
from cutstream.clock import Clock, SystemClock
from cutstream.errors import CutstreamError, Fatal, PoisonLimit
from cutstream.metrics import Metrics
from cutstream.settings import Settings
from cutstream.signals import on_termination
from cutstream.traces import open_traces
from cutstream.watching.recent import Recent

if TYPE_CHECKING:
    from consumer.page import PageServer

log = logging.getLogger(__name__)

_FETCH_SLOTS = 32  # one host has at most half of them: consumer/resources/sources.py
_EXIT_GRACE_S = 10.0
_MOST_DESCRIPTORS = 65_536


class PipelineRuntime:
    """The pipeline and everything its stages work with, without the Kafka around it."""

    def __init__(self, settings: Settings, metrics: Metrics, clock: Clock) -> None:
        s = settings
        cores = s.worker.cores or len(os.sched_getaffinity(0))
        decoders = s.worker.decoders or min(4, cores)
        ops = open_device(s.worker.device)
        self.ops = ops
        _observe_memory(ops, metrics)
        self.triton = Triton(s.triton)
        latency = LatencyEstimator(self.triton, clock)
        self.selector = ProfileSelector(s.models, latency, metrics, clock)
        metrics.memory_budget.set(s.worker.memory_bytes)
        self.memory = MemoryBudget(s.worker.memory_bytes, metrics.decoded_bytes.set)
        self._decoders = DecoderPool(
            decoders,
            s.limits.decode_timeout_s,
            max_bytes=s.limits.max_source_bytes,
            max_pixels=s.limits.max_source_pixels,
            on_restart=metrics.decoder_restarts.inc,
            on_dropped_lines=metrics.decoder_lines.inc,
            clock=clock,
        )

        def count(reason: Reason) -> None:
            metrics.untried.labels(reason).inc()

        self._matting_code = MattingCode()
        self.long_work = LongWork(cores, count, s.worker.memory_bytes)
        self.catalogue = BackgroundCatalogue(s.kafka, metrics.backgrounds.set)
        self.objects = ObjectStore(s.objects, s.limits)

        self.destinations = Destinations(self.objects.place_of_destination, s.worker.window, clock, count)
        sources = Sources(self.objects, s.worker.window, clock, count)
        metrics.silent_sources.set_function(lambda: sources.silent)
        backgrounds = BackgroundStore(
            self.catalogue.entry,
            sources,
            self._decoders,
            Cache(s.worker.background_bytes, metrics),
            ops,
            clock,
            max_age_s=s.worker.background_age_s,
            max_pixels=s.limits.max_source_pixels,
        )
        self.pipeline = build_pipeline(
            Dependencies(
                objects=self.objects,
                sources=sources,
                backgrounds=backgrounds,
                destinations=self.destinations,
                decoders=self._decoders,
                segment=Segment(self.triton, self.selector, latency, ops, metrics, s.triton),
                ops=ops,
                matting_code=self._matting_code,
                long_work=self.long_work,
                metrics=metrics,
                max_pixels=s.limits.max_source_pixels,
                fetch_slots=PrioritySemaphore(_FETCH_SLOTS),
                store_slots=PrioritySemaphore(STORE_SLOTS),
                decoder_slots=PrioritySemaphore(decoders),
                segment_slots=PrioritySemaphore(s.worker.window),
                cpu_slots=PrioritySemaphore(cores),
            )
        )

    @property
    def decodes(self) -> bool:
        """Return whether at least one decoder process can be used."""
        return self._decoders.ready

    def start(self) -> None:
        # Beside the servers' start. If it fails, the photos that need this code say why.
        threading.Thread(target=self.ops.load, name="load", daemon=True).start()
        self._decoders.start()

    def close(self) -> None:
        self._decoders.close()
        self._matting_code.close()
        self.triton.close()


class Worker:
    """One worker process. `run` returns after a drain, or raises Fatal.

    After PoisonLimit the process stays, halted and outside the group, until `stop`; only then `run` raises it. A worker
    that ended would be started again and fail again on the same requests.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        s = settings
        self._settings = s
        self._clock = clock or SystemClock()
        self._start_period = StartPeriod(s.worker.start_period_s, self._clock)
        self._stop = threading.Event()
        self._stopping = threading.Event()
        self._metrics = Metrics()
        self._runtime = PipelineRuntime(s, self._metrics, self._clock)
        self._recent = Recent(shows_photos=s.page.enabled and s.page.photos == "always")
        self._previews = Previews(self._recent, self._runtime.ops, self._clock)
        self._traces = open_traces(s.worker.traces_url) if s.worker.traces_url else None
        self._cancellations = Cancellations(s.kafka, self._clock)
        self._waits = Waits(self._clock, lambda reason, photos: self._metrics.waiting.labels(reason).set(photos))
        ranks = ((s.kafka.urgent_topic,), (s.kafka.requests_topic, s.kafka.retry_topic))
        self._reader = RequestReader(s.kafka, ranks, self._clock, s.limits.retry_delay_s)
        self._committer = self._make_committer()
        self._opening: Future[bool] | None = None  # of the committer, in the background
        self._window: Window[TrackedRecord, Outcome] = Window(s.worker.window, self._make_handler())
        self._loop = Loop(
            self._reader,
            self._committer,
            self._window,
            s.worker,
            self._metrics,
            self._clock,
            retry_topic=s.kafka.retry_topic,
            trim_memory=trim_memory,
            on_backlog=self._runtime.selector.set_backlog,
            known_ends=lambda: self._ends.known,
        )
        self._ends = PartitionEnds(s.kafka, lambda: self._loop.partitions)
        self._probes = (
            broker := Probe("broker", self._ends.refresh, self._clock),
            triton := Probe("triton", self._runtime.triton.ready, self._clock),
        )
        readiness = Readiness(
            self._loop,
            self._waits,
            {
                "backgrounds": lambda: self._runtime.catalogue.ready,
                "cancellations": lambda: self._cancellations.ready,
                "decoders": lambda: self._runtime.decodes,
            },
            broker=broker,
            triton=triton,
            stopping=self._stop,
            heartbeat_s=s.worker.heartbeat_s,
        )
        readiness.observe(self._metrics)
        self._health = HealthServer(
            s.worker.host, s.worker.port, self._metrics, readiness.alive, readiness.answer, s.worker.metrics_token
        )
        self._page = self._make_page() if s.page.enabled else None

    def run(self) -> None:
        models = self._settings.models
        precision = models.precision if models.graph_precision == "fp32" else models.graph_precision
        self._metrics.info.labels(models.engine, precision, self._runtime.ops.device).set(1)
        self._metrics.window.set(self._settings.worker.window)
        self._metrics.halted.labels(PoisonLimit.code).set(0)
        self._observe_doubt("network", False)
        self._observe_doubt("settings", False)
        address = self._health.start()
        try:
            self._work(address, self._page.start(address.removeprefix("http://")) if self._page else None)
        except PoisonLimit as exc:
            self._metrics.halted.labels(exc.code).set(1)
            log.critical("halted: %s", exc, extra={"code": exc.code})
            self._stop.wait()
            raise
        finally:
            if self._page:
                self._page.close()
            self._health.close()
        log.info("worker stopped")

    def _work(self, address: str, page: str | None) -> None:
        with ExitStack() as started:
            if self._traces:
                started.callback(self._traces.close)
            self._runtime.start()
            started.callback(self._runtime.close)
            if not self._start_period.lasts and (problem := self._runtime.triton.problem()):
                url = self._settings.triton.url
                log.warning("no Triton server is ready at %s (%s): requests wait until one is", url, problem)
            # Closed in the opposite order: the group is left at once, so that others take over without a time-out.
            if not self._starts(self._check_topics):
                return
            self._cancellations.begin()
            started.callback(self._cancellations.close)
            self._runtime.catalogue.start()
            started.callback(self._runtime.catalogue.close)
            started.callback(self._ends.close)
            for probe in self._probes:
                probe.start()
                started.callback(probe.close)
            if not (self._opening or in_background(self._open_committer)).result():
                return
            started.callback(self._committer.close)
            if not self._starts(self._reader.start):
                return
            started.callback(self._reader.close)
            if not self._starts(self._cancellations.start):
                return
            self._window.start()
            profiles, device = self._settings.models.profiles, self._runtime.ops.device
            log.info("worker started", extra={"address": address, "page": page, "profiles": profiles, "device": device})
            try:
                self._loop.run(self._stop)
            finally:
                self._stopping.set()

    def _check_topics(self) -> None:
        try:
            check_topics(self._settings.kafka)
        except NoTopic:  # of a new broker, which has to make its own topic of transactions, too: meanwhile
            self._opening = self._opening or in_background(self._open_committer)
            raise

    def _open_committer(self) -> bool:
        return self._starts(self._committer.start)

    def _starts(self, start: Callable[[], None]) -> bool:
        return start_with_broker(start, self._stop, self._start_period.excuses)

    def stop(self) -> None:
        """Drain: finish what can be finished in time, and leave the rest to the next worker. From any thread."""
        self._stop.set()
        # A broker that is away can hold a transaction, and with it the exit, for as long as it is away.
        limit_s = self._settings.worker.drain_timeout_s + _EXIT_GRACE_S
        watchdog = threading.Timer(limit_s, os._exit, (1,))
        watchdog.daemon = True
        watchdog.start()

    def _make_handler(self) -> RequestHandler:
        s, runtime = self._settings, self._runtime
        runner = Runner(
            runtime.pipeline,
            runtime.memory,
            self._metrics,
            self._clock,
            s.limits.source_attempts,
            self._stopping,
            self._waits,
            s.kafka.urgent_topic,
            refuse=self._refuse,
            observe=self._previews.observe,
        )
        admission = partial(
            admit,
            models=s.models,
            presets=read_presets(s.models.presets),
            refuse=self._cancellations.refuse_record,
        )
        spans = {"on_end": RequestSpans(self._traces, self._clock)} if self._traces else {}
        return RequestHandler(
            admission,
            runner,
            RecordBuilder(s.kafka, self._clock),
            RetryPolicy(s.limits, self._clock),
            self._clock,
            Doubts(s.worker.max_consecutive_failures, self._observe_doubt),
            self._note_stored,
            self._check,
            on_failed=self._previews.note_failure,
            **spans,
        )

    def _make_page(self) -> PageServer:
        from consumer.page import PageServer  # a stack for one photo starts without

        return PageServer(self._settings, self._metrics, self._recent, self._clock)

    def _refuse(self, job: Job) -> None:
        self._cancellations.refuse(job)
        self._runtime.destinations.refuse_away(job.recipe.destination, job.is_redelivered)

    def _check(self, job: Job) -> None:
        check_addresses(job, self._runtime.objects)
        self._runtime.destinations.expect(job.recipe.destination, job.is_redelivered)
        self._runtime.long_work.expect(job.recipe, job.is_redelivered)

    def _make_committer(self) -> Committer:
        if self._settings.kafka.delivery == "exactly_once":
            return TransactionalCommitter(self._settings.kafka)
        return AtLeastOnceCommitter(self._settings.kafka, self._reader.commit)

    def _observe_doubt(self, about: About, doubted: bool) -> None:
        self._metrics.in_doubt.labels(about).set(doubted)

    def _note_stored(self, job: Job, progress: Progress) -> None:
        self._previews.note_success(job, progress)
        self._runtime.selector.record_tail(progress.finished_s["store"] - progress.finished_s["segment"])


def _observe_memory(ops: ArrayOps, metrics: Metrics) -> None:
    """Have the device's memory read whenever the metrics are."""

    def read(index: int) -> float:
        try:
            memory = ops.memory()
        except CutstreamError:  # the stages meet it too, and act on it
            memory = None
        return memory[index] if memory else nan

    if ops.memory() is not None:
        for index, kind in enumerate(("used", "total")):
            metrics.device_memory.labels(kind).set_function(partial(read, index))


def _raise_descriptor_limit() -> None:
    """Allow what the system allows. The usual 1024 is a limit for programs that use select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    infinite = hard == resource.RLIM_INFINITY
    wanted = _MOST_DESCRIPTORS if infinite else min(hard, _MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def run_worker(settings: Settings) -> None:
    """Run one worker until SIGTERM or SIGINT. Raises Fatal if it cannot go on."""
    check_settings(settings)
    _raise_descriptor_limit()
    keep_freed_memory()
    use_fast_checksums()
    worker = Worker(settings)
    on_termination(worker.stop)
    try:
        worker.run()
    except CutstreamError:
        raise
    except Exception as exc:
        log.exception("the worker cannot continue")
        raise Fatal(f"{type(exc).__name__}: {exc}. Report it with the stack trace in the log above") from exc

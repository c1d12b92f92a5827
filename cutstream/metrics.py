"""Every metric, in one table: what it means, and what to do when it moves.

Base units, bounded labels, no ids. docs/metrics.md is made from this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SLOW = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
_COUNT = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Definition:
    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    remedy: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


REQUESTS = Definition(
    "cutstream_requests_total",
    "counter",
    "Requests whose one result has been committed, by status and error code (empty when ok).",
    "A rising share of `failed`: look at the code and at the dead letters.",
    ("status", "code"),
)
REQUEST_SECONDS = Definition(
    "cutstream_request_duration_seconds",
    "histogram",
    "From reading the request to committing its result.",
    "Compare with the stages' durations and waits to see where photos queue.",
    buckets=_SLOW,
)
REQUEST_AGE = Definition(
    "cutstream_request_age_seconds",
    "histogram",
    "From the request record's own timestamp to committing its result: what the requester sees.",
    "Growing while the duration is flat means lag: add workers or partitions.",
    buckets=_SLOW,
)
STAGE_SECONDS = Definition(
    "cutstream_stage_duration_seconds",
    "histogram",
    "Work in one stage on one photo, without waiting for the stage.",
    "The stage that grew is the one to look at.",
    ("stage",),
    _FAST,
)
STAGE_WAIT = Definition(
    "cutstream_stage_wait_seconds_total",
    "counter",
    "Time photos spent waiting for a place in a stage.",
    "The stage with the fastest growth is the bottleneck: give it cores or instances.",
    ("stage",),
)
RETRIES = Definition(
    "cutstream_retries_total",
    "counter",
    "Attempts that found the world not ready, by stage and reason.",
    "triton_unavailable or store_unavailable: that service is away; requests wait, none is lost.",
    ("stage", "reason"),
)
WAITING = Definition(
    "cutstream_waiting",
    "gauge",
    "Photos backing off now, by reason.",
    "Above zero for long: the named service is away. Readiness says so too.",
    ("reason",),
)
IN_FLIGHT = Definition(
    "cutstream_in_flight",
    "gauge",
    "Photos between being read and having an outcome.",
    "At the window's size all the time: the worker is the bottleneck, which is what you want under load.",
)
UNCOMMITTED = Definition(
    "cutstream_uncommitted_results",
    "gauge",
    "Finished photos whose result waits for an earlier one of the same partition or for the transaction.",
    "Growing without end: one photo holds its partition; see cutstream_waiting.",
)
DECODED_BYTES = Definition(
    "cutstream_decoded_bytes",
    "gauge",
    "Memory reserved for pictures under way.",
    "At the budget all the time: raise CUTSTREAM_WORKER__MEMORY_BYTES or lower the window.",
)
BACKGROUND_LOOKUPS = Definition(
    "cutstream_background_lookups_total",
    "counter",
    "Background pictures asked for, as decoded and as fitted to a size; those not kept from earlier are misses.",
    "Mostly misses though few backgrounds are in use: raise CUTSTREAM_WORKER__BACKGROUND_BYTES.",
    ("kind", "outcome"),
)
BACKGROUND_BYTES = Definition(
    "cutstream_background_cache_bytes",
    "gauge",
    "Memory of the background pictures kept for later requests; fitted ones are on the GPU where there is one.",
    "At its limit with many misses: raise CUTSTREAM_WORKER__BACKGROUND_BYTES.",
)
BACKGROUNDS = Definition(
    "cutstream_backgrounds",
    "gauge",
    "Names in the catalogue of backgrounds, as this worker knows it.",
    "Unequal between workers for long: look for `background catalogue` in the log of those that differ.",
)
BATCH_ITEMS = Definition(
    "cutstream_batch_items",
    "histogram",
    "Photos per request to Triton.",
    "All at 1 under load: raise the window or CUTSTREAM_TRITON__BATCH_MAX_WAIT_S.",
    buckets=_COUNT,
)
AUTO_CHOICES = Definition(
    "cutstream_auto_choices_total",
    "counter",
    "Choices for photos of profile `auto`, by the profile chosen and why; a photo tried again is chosen for again.",
    "`deadline` or `backlog` growing: the machine is too slow for its requests; add workers, or accept less precision.",
    ("profile", "reason"),
)
COMMITS = Definition(
    "cutstream_commits_total",
    "counter",
    "Transactions of results and offsets, by outcome.",
    "`refused` belongs to rebalances; a steady rate of it means workers lose their membership.",
    ("outcome",),
)
COMMIT_SECONDS = Definition(
    "cutstream_commit_duration_seconds",
    "histogram",
    "One transaction, begin to commit.",
    "Seconds: look at the broker.",
    buckets=_FAST,
)
COMMIT_RESULTS = Definition(
    "cutstream_commit_results",
    "histogram",
    "Results per transaction.",
    "Always 1 at high rates: raise CUTSTREAM_WORKER__COMMIT_INTERVAL_S.",
    buckets=_COUNT,
)
DISCARDED = Definition(
    "cutstream_discarded_outcomes_total",
    "counter",
    "Finished work thrown away because its partition went to another worker or its transaction was refused.",
    "Belongs to rebalances; steady growth means workers are too slow to poll or sessions too short.",
)
REBALANCES = Definition(
    "cutstream_rebalances_total",
    "counter",
    "Changes of this worker's partitions.",
    "Frequent without deployments: session timeouts; look at CPU starvation and max_poll_interval.",
    ("change",),
)
PARTITIONS = Definition(
    "cutstream_assigned_partitions",
    "gauge",
    "Partitions this worker owns.",
    "0 for long with fewer partitions than workers: add partitions or remove workers.",
)
LAG = Definition(
    "cutstream_consumer_lag_records",
    "gauge",
    "Requests in this worker's partitions that have no committed result yet.",
    "Growing: more is coming in than goes out; add workers.",
    ("partition",),
)
SOURCE_BYTES = Definition(
    "cutstream_source_bytes_total", "counter", "Bytes of sources fetched.", "For capacity planning."
)
SOURCE_PIXELS = Definition(
    "cutstream_source_pixels_total", "counter", "Pixels of sources decoded.", "For capacity planning."
)
OUTPUT_BYTES = Definition(
    "cutstream_output_bytes_total",
    "counter",
    "Bytes of objects stored, by output.",
    "For capacity planning; PNG growing against pixels means noisier sources: consider WebP.",
    ("output",),
)
DECODER_RESTARTS = Definition(
    "cutstream_decoder_restarts_total",
    "counter",
    "Decoder processes replaced after a crash or a hang; each cost one photo.",
    "Look at the failed_to_read_image results of that time: somebody sends hostile files.",
)
HEARTBEAT = Definition(
    "cutstream_loop_heartbeat_seconds",
    "gauge",
    "Unix time when the main loop last came round.",
    "Standing still: the loop is stuck; /healthz fails and the worker should be restarted.",
)
INFO = Definition(
    "cutstream_worker_info",
    "gauge",
    "1, with version, engine and device as labels.",
    "A GPU deployment that says device=cpu is misconfigured.",
    ("version", "engine", "device"),
)

DEFINITIONS: tuple[Definition, ...] = tuple(v for v in list(globals().values()) if isinstance(v, Definition))


class Metrics:
    """The worker's metrics on an injected registry; attribute names, so a misspelling fails type checking."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.requests = self._counter(REQUESTS)
        self.request_seconds = self._histogram(REQUEST_SECONDS)
        self.request_age = self._histogram(REQUEST_AGE)
        self.stage_seconds = self._histogram(STAGE_SECONDS)
        self.stage_wait = self._counter(STAGE_WAIT)
        self.retries = self._counter(RETRIES)
        self.waiting = self._gauge(WAITING)
        self.in_flight = self._gauge(IN_FLIGHT)
        self.uncommitted = self._gauge(UNCOMMITTED)
        self.decoded_bytes = self._gauge(DECODED_BYTES)
        self.background_lookups = self._counter(BACKGROUND_LOOKUPS)
        self.background_bytes = self._gauge(BACKGROUND_BYTES)
        self.backgrounds = self._gauge(BACKGROUNDS)
        self.batch_items = self._histogram(BATCH_ITEMS)
        self.auto = self._counter(AUTO_CHOICES)
        self.commits = self._counter(COMMITS)
        self.commit_seconds = self._histogram(COMMIT_SECONDS)
        self.commit_results = self._histogram(COMMIT_RESULTS)
        self.discarded = self._counter(DISCARDED)
        self.rebalances = self._counter(REBALANCES)
        self.partitions = self._gauge(PARTITIONS)
        self.lag = self._gauge(LAG)
        self.source_bytes = self._counter(SOURCE_BYTES)
        self.source_pixels = self._counter(SOURCE_PIXELS)
        self.output_bytes = self._counter(OUTPUT_BYTES)
        self.decoder_restarts = self._counter(DECODER_RESTARTS)
        self.heartbeat = self._gauge(HEARTBEAT)
        self.info = self._gauge(INFO)

    def exposition(self) -> bytes:
        """The registry in Prometheus's text format."""
        return generate_latest(self.registry)

    def _counter(self, d: Definition) -> Counter:
        return Counter(d.name, d.help, d.labels, registry=self.registry)

    def _gauge(self, d: Definition) -> Gauge:
        return Gauge(d.name, d.help, d.labels, registry=self.registry)

    def _histogram(self, d: Definition) -> Histogram:
        return Histogram(d.name, d.help, d.labels, registry=self.registry, buckets=d.buckets)

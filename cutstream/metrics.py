"""All metrics in one table: what each means, and what to do when it moves.

Units are base units. Labels have few values and never ids. docs/metrics.md is generated from this file.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Literal, TypeAlias

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

from cutstream import __version__

disable_created_metrics()  # type: ignore[no-untyped-call]  # a time of creation for each series would be as many series again, which nobody reads

# Classic histograms: this client has no native ones.
_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SLOW = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 300.0, 1800.0)
_COUNT = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_SHARE = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)

Exemplar: TypeAlias = dict[str, str] | None
"""Labels of one observation that a dashboard can lead from: the id of the request's trace."""


@dataclass(frozen=True)
class Definition:
    """A metric. `help` is its meaning, `remedy` says what a change of it means and what to do."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    remedy: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def unit(self) -> str:
        """The unit, which the name ends in. A count and a 0 or 1 have none."""
        word = self.name.removesuffix("_total").rpartition("_")[2]
        return word if word in ("seconds", "bytes", "ratio") else ""


REQUESTS = Definition(
    "cutstream_requests_total",
    "counter",
    "Requests whose result has been committed, by profile (empty if refused unread), status and error code (empty for "
    "`ok`). Each `failed` one has left a dead letter.",
    "If the share of `failed` rises, look at the codes and the dead letters.",
    ("profile", "status", "code"),
)
POSTPONED = Definition(
    "cutstream_postponed_total",
    "counter",
    "Moves of a request to the retry topic, because its own source, background or destination is away, or because it "
    "takes long (`takes_long`).",
    "If it rises, a host or bucket that requests name is away or slow: the worker's log says which (`postponed`).",
    ("code",),
)
UNTRIED = Definition(
    "cutstream_untried_total",
    "counter",
    "Deliveries of a request without a try: its source or destination is away (`silent`), hosts that have never "
    "answered do not (`strangers`), or too many such places are being tried (`crowded`). Or it takes long, and goes on "
    "from the retry topic: its source is `slow`, or it asks for an exact `matting` or for `heavy` work.",
    "If `silent` or `slow` rises, a place that requests name is away or slow; `strangers` and `crowded` rise if they "
    "name many dead hosts.",
    ("reason",),
)
SILENT_SOURCES = Definition(
    "cutstream_silent_sources",
    "gauge",
    "Hosts and buckets that did not answer the last downloads: their requests are tried from the retry topic only.",
    "If it stays above zero, the worker's log says which are away (`had no answer`).",
)
REQUEST_SECONDS = Definition(
    "cutstream_request_duration_seconds",
    "histogram",
    "Time from reading a request, for the last time if it was postponed, to committing its result.",
    "Compare it with the durations and waits of the stages to see where photos queue.",
    buckets=_SLOW,
)
REQUEST_AGE = Definition(
    "cutstream_request_age_seconds",
    "histogram",
    "Time from the timestamp of the request's first record to committing its result: what the requester waits.",
    "If it grows while the duration stays the same, requests wait in Kafka: add workers or partitions.",
    buckets=_SLOW,
)
DEADLINE_USED = Definition(
    "cutstream_deadline_used_ratio",
    "histogram",
    "Share of the time from the request's timestamp to its deadline that had passed when its result was committed, for "
    "requests with a deadline. Above 1 it was missed; more than 2 counts as 2.",
    "If the shares come near 1, requests will soon expire: add workers, or let requesters allow more time.",
    buckets=_SHARE,
)
STAGE_SECONDS = Definition(
    "cutstream_stage_duration_seconds",
    "histogram",
    "Time that one stage works on one photo, without waiting for the stage.",
    "The stage whose time grows is the one to examine.",
    ("stage",),
    _FAST,
)
STAGE_WAIT = Definition(
    "cutstream_stage_wait_seconds_total",
    "counter",
    "Time that photos spend waiting to enter a stage.",
    "The stage where it grows fastest is the bottleneck: give it more cores or model instances.",
    ("stage",),
)
STAGE_PHOTOS = Definition(
    "cutstream_stage_photos",
    "gauge",
    "Photos in each stage: `waiting` to enter it, `working`, or pausing until they are tried again (`retrying`).",
    "Photos gather at the bottleneck. If they are `retrying`, see cutstream_waiting.",
    ("stage", "state"),
)
RETRIES = Definition(
    "cutstream_retries_total",
    "counter",
    "Attempts that failed because something was not ready, by stage and reason.",
    "With `triton_unavailable` or `store_unavailable`, restore that service. `wrong_answer` counts answers of Triton "
    "that were discarded. Requests wait, and none is lost.",
    ("stage", "reason"),
)
WAITING = Definition(
    "cutstream_waiting",
    "gauge",
    "Photos that wait for something that was not ready, by reason, until an attempt has succeeded.",
    "If it stays above zero, what the reason names is not available. `/readyz` says so too, after a few seconds.",
    ("reason",),
)
READY = Definition(
    "cutstream_ready",
    "gauge",
    "1 while this check of `/readyz` is true, else 0. Once the worker has halted, all but `running` are NaN.",
    "The runbook says what each check means and what to do.",
    ("check",),
)
OLDEST_REQUEST = Definition(
    "cutstream_oldest_request_seconds",
    "gauge",
    "Time since this worker read the oldest of its requests that have no committed result. 0 without such requests.",
    "If it grows beyond the time that a photo may take, something is stuck: see cutstream_waiting and cutstream_ready.",
)
OLDEST_AGE = Definition(
    "cutstream_oldest_request_age_seconds",
    "gauge",
    "Age of the oldest request in this worker's partitions that has no committed result, by its timestamp. Those on "
    "the retry topic do not count. 0 without such requests.",
    "If it grows, the workers do not keep up: compare it with the deadlines, and add workers.",
)
IN_FLIGHT = Definition(
    "cutstream_in_flight",
    "gauge",
    "Photos in flight: their requests have been read and have no outcome yet.",
    "If it stays at CUTSTREAM_WORKER__WINDOW, the worker is the bottleneck, as it should be under load.",
)
WINDOW = Definition(
    "cutstream_window_photos",
    "gauge",
    "The most photos that may be in flight: CUTSTREAM_WORKER__WINDOW.",
    "A setting. cutstream_in_flight is at it under load.",
)
PAUSED = Definition(
    "cutstream_paused_seconds_total",
    "counter",
    "Time in which this worker read nothing because its window was full.",
    "Its rate is the share of time in which the worker is saturated: at 1 it has all the work that it can do.",
)
UNCOMMITTED = Definition(
    "cutstream_uncommitted_results",
    "gauge",
    "Finished results that wait for an earlier offset of their partition, or for the next transaction.",
    "If it keeps growing, one photo holds up its partition: see cutstream_waiting.",
)
DECODED_BYTES = Definition(
    "cutstream_decoded_bytes",
    "gauge",
    "Memory reserved for the decoded images of photos in flight.",
    "If it stays at the budget, raise CUTSTREAM_WORKER__MEMORY_BYTES or lower CUTSTREAM_WORKER__WINDOW.",
)
MEMORY_BUDGET = Definition(
    "cutstream_memory_budget_bytes",
    "gauge",
    "The most memory that decoded images may take: CUTSTREAM_WORKER__MEMORY_BYTES.",
    "A setting. If cutstream_decoded_bytes stays at it, photos wait for memory.",
)
DEVICE_MEMORY = Definition(
    "cutstream_device_memory_bytes",
    "gauge",
    "Memory of the GPU, `used` by all processes and in `total`. Without a GPU there is no series.",
    "If `used` comes near `total`, lower CUTSTREAM_WORKER__WINDOW, or find what else uses the device.",
    ("kind",),
)
BACKGROUND_LOOKUPS = Definition(
    "cutstream_background_lookups_total",
    "counter",
    "Lookups in the cache of background pictures, as files, as decoded and as fitted to a size, by outcome.",
    "If most are misses although few backgrounds are in use, raise CUTSTREAM_WORKER__BACKGROUND_BYTES.",
    ("kind", "outcome"),
)
BACKGROUND_BYTES = Definition(
    "cutstream_background_cache_bytes",
    "gauge",
    "Memory of the cached background pictures. Fitted ones are in GPU memory when the device is a GPU.",
    "If it is at its limit and there are many misses, raise CUTSTREAM_WORKER__BACKGROUND_BYTES.",
)
BACKGROUNDS = Definition(
    "cutstream_backgrounds",
    "gauge",
    "Names in this worker's copy of the background catalogue.",
    "If workers keep differing, search their logs for `background catalogue`.",
)
BATCH_ITEMS = Definition(
    "cutstream_batch_items",
    "histogram",
    "Photos per call to Triton.",
    "If all are 1 under load, raise CUTSTREAM_WORKER__WINDOW or CUTSTREAM_TRITON__BATCH_MAX_WAIT_S.",
    buckets=_COUNT,
)
INFERENCE_SECONDS = Definition(
    "cutstream_inference_duration_seconds",
    "histogram",
    "Time of one call to Triton, with the way there and back, by profile.",
    "If it grows and Triton's own times do not, calls queue on the way: see CUTSTREAM_TRITON__IN_FLIGHT.",
    ("profile",),
    _FAST,
)
AUTO_CHOICES = Definition(
    "cutstream_auto_choices_total",
    "counter",
    "Choices made for requests of profile `auto`, by chosen profile and reason. Each retry makes a new choice.",
    "If `deadline` or `backlog` grows, the workers are too slow: add workers, or accept the less precise profiles.",
    ("profile", "reason"),
)
COMMITS = Definition(
    "cutstream_commits_total",
    "counter",
    "Transactions of results and offsets, by outcome.",
    "`refused` is normal during a rebalance. A steady rate means that workers keep losing their group membership.",
    ("outcome",),
)
COMMIT_SECONDS = Definition(
    "cutstream_commit_duration_seconds",
    "histogram",
    "Time of one transaction, from its begin to its commit.",
    "If it takes seconds, check the broker.",
    buckets=_FAST,
)
COMMIT_RESULTS = Definition(
    "cutstream_commit_results",
    "histogram",
    "Results per transaction.",
    "If it is always 1 at high rates, raise CUTSTREAM_WORKER__COMMIT_INTERVAL_S.",
    buckets=_COUNT,
)
DISCARDED = Definition(
    "cutstream_discarded_outcomes_total",
    "counter",
    "Finished results discarded because the partition moved to another worker or the transaction was refused.",
    "Normal during a rebalance. If it grows steadily, workers poll too slowly or session time-outs are too short.",
)
REBALANCES = Definition(
    "cutstream_rebalances_total",
    "counter",
    "Changes of this worker's partitions, by kind.",
    "If many happen without deployments, sessions time out: check CPU load and CUTSTREAM_KAFKA__MAX_POLL_INTERVAL_S.",
    ("change",),
)
PARTITIONS = Definition(
    "cutstream_assigned_partitions",
    "gauge",
    "Partitions assigned to this worker.",
    "If it stays 0, there are more workers than partitions: add partitions or remove workers.",
)
STALLED = Definition(
    "cutstream_stalled_partitions_total",
    "counter",
    "Partitions that had requests and delivered none for CUTSTREAM_KAFKA__STALL_S, and were read again.",
    "It should stay 0. Otherwise Kafka's client or a broker misbehaves: search the log for `partition stalled`.",
)
UNREADABLE = Definition(
    "cutstream_unreadable_partitions",
    "gauge",
    "Partitions that stand still because their next record is corrupt: its checksum is wrong.",
    "If it stays above 0, go past the record (docs/runbook.md#a-record-cannot-be-read): the log names it.",
)
LAG = Definition(
    "cutstream_consumer_lag_records",
    "gauge",
    "Requests in this worker's partitions that have no committed result yet, by the broker's own ends, at most "
    "2 s old. Like every lag in Kafka it counts offsets, and a transaction takes one, too: on the retry topic, which "
    "workers write in transactions, one waiting request can count as 2.",
    "If it grows while results come, add workers. If it grows and none come, see cutstream_ready.",
    ("topic", "partition"),
)
BACKLOG = Definition(
    "cutstream_backlog_records",
    "gauge",
    "Requests in this worker's partitions that have not been read yet, without those on the retry topic, which wait "
    "until they are due. `auto` looks at it.",
    "If it grows, more requests come than are answered: add workers, up to the number of partitions.",
)
ANSWERED_OFFSET = Definition(
    "cutstream_answered_offset",
    "gauge",
    "Offset below which every request of this partition has a committed result.",
    "If it stands still in one partition while there is lag, something holds that partition: see cutstream_waiting.",
    ("topic", "partition"),
)
SOURCE_BYTES = Definition(
    "cutstream_source_bytes_total", "counter", "Bytes of source files fetched.", "For capacity planning."
)
SOURCE_PIXELS = Definition(
    "cutstream_source_pixels_total", "counter", "Pixels of source images decoded.", "For capacity planning."
)
OUTPUT_BYTES = Definition(
    "cutstream_output_bytes_total",
    "counter",
    "Bytes of output objects stored, by output.",
    "For capacity planning. If it grows faster than the pixels, sources have become noisier: consider WebP.",
    ("output",),
)
DECODER_RESTARTS = Definition(
    "cutstream_decoder_restarts_total",
    "counter",
    "Decoder processes that were replaced after a crash or a hang. One request failed each time, unless the process "
    "was idle, or was killed from outside and another one read the photo.",
    "Examine the sources of the `failed_to_read_image` results of that time: they may be hostile files.",
)
DECODER_LINES = Definition(
    "cutstream_decoder_dropped_lines_total",
    "counter",
    "Lines that decoder processes wrote and that the log left out. It has 20 lines a minute.",
    "It grows with damaged files. If much of it comes at once, look at the lines that the log has.",
)
HEARTBEAT = Definition(
    "cutstream_loop_heartbeat_seconds",
    "gauge",
    "Unix time at which the main loop last completed a turn.",
    "If it stands still, the loop is stuck: `/healthz` fails, and the worker should be restarted.",
)
IN_DOUBT = Definition(
    "cutstream_in_doubt",
    "gauge",
    "1 while requests are held back on the retry topic: no host answers (`network`), or the settings refused many "
    "requests and none succeeded (`settings`).",
    "If the network or the settings are at fault, correct them: the requests wait. Else do nothing (docs/runbook.md).",
    ("about",),
)
HALTED = Definition(
    "cutstream_halted",
    "gauge",
    "1 while this worker has halted, by the code of the reason. It has left the group and waits for an operator.",
    "The last line of its log and `/readyz` say why and what to do. Correct the cause and restart the worker.",
    ("reason",),
)
INFO = Definition(
    "cutstream_worker_info",
    "gauge",
    "Always 1. Labels give the engine and the precision that the settings name, and the device in use. With the "
    "precision `auto` the engine decides for each network, and says so in Triton's log.",
    "If `device` is `cpu` on a machine with a GPU, check CUTSTREAM_WORKER__DEVICE.",
    ("engine", "precision", "device"),
)
BUILD_INFO = Definition(
    "cutstream_build_info",
    "gauge",
    "Always 1. Labels give the release and the version of Python.",
    "Workers of several releases are normal only while a release is rolled out.",
    ("version", "python"),
)

GATEWAY_CALLS = Definition(
    "cutstream_gateway_calls_total",
    "counter",
    "HTTP calls that the gateway has answered, by what was called and by status.",
    "If 5xx rises, look at the gateway's log and at the stream behind it; if 403 rises, a client has a wrong key.",
    ("call", "status"),
)
GATEWAY_SECONDS = Definition(
    "cutstream_gateway_call_duration_seconds",
    "histogram",
    "Time from a call's head to the first byte of its answer, by what was called. Calls refused with 429 do not count.",
    "Compare it with `cutstream_request_age_seconds` of the workers: the difference is the gateway's own.",
    ("call",),
    _FAST,
)
GATEWAY_WAITING = Definition(
    "cutstream_gateway_waiting_calls",
    "gauge",
    "Calls under way: synchronous ones until their answer, those that submit a job until it is stored.",
    "At CUTSTREAM_GATEWAY__MAX_CALLS further ones are refused: add workers.",
)
GATEWAY_REFUSED = Definition(
    "cutstream_gateway_refused_total",
    "counter",
    "Calls refused for a limit or an overload, by reason: urgent requests wait too long already (`wait`), too many "
    "calls are under way (`calls`), too many photos of jobs are open (`photos`), there is no memory for large bodies "
    "(`memory`), one key has reached its own limit (`key_rate`, `key_calls`), or the stream is away (`stream`).",
    "If `wait`, `calls` or `photos` rises, clients send more than the workers can do: add workers. If only `key_rate` "
    "or `key_calls` does, one client sends more than it may.",
    ("reason",),
)
GATEWAY_WAIT = Definition(
    "cutstream_gateway_expected_wait_seconds",
    "gauge",
    "Time that an urgent request would wait for its turn, from the lag of the workers' group and the pace of the "
    "results.",
    "Above CUTSTREAM_GATEWAY__MAX_WAIT_S synchronous calls are refused: add workers.",
)
GATEWAY_READING = Definition(
    "cutstream_gateway_reading",
    "gauge",
    "1 while the gateway reads the results topic.",
    "If it is 0, `/readyz` and the log say why Kafka cannot be read.",
)
GATEWAY_UPLOADS = Definition(
    "cutstream_gateway_upload_bytes_total",
    "counter",
    "Bytes of photos that clients have uploaded.",
    "For capacity planning.",
)
GATEWAY_OPEN = Definition(
    "cutstream_gateway_open_photos",
    "gauge",
    "Photos of jobs that have no result yet.",
    "If it stays while results come in, look at the log; at CUTSTREAM_GATEWAY__MAX_OPEN_PHOTOS jobs are refused.",
)
GATEWAY_WEBHOOKS = Definition(
    "cutstream_gateway_webhooks_total",
    "counter",
    "Attempts to deliver a webhook, by outcome: `delivered`, `failed` (it is tried again), `given_up`.",
    "If `given_up` rises, a client's server is away: the log names its host.",
    ("outcome",),
)

DEFINITIONS: tuple[Definition, ...] = tuple(v for v in list(globals().values()) if isinstance(v, Definition))


class _Registered:
    """Metrics in a registry. They are attributes, so that the type checker finds a misspelt name."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.build_info = self._gauge(BUILD_INFO)
        self.build_info.labels(__version__, platform.python_version()).set(1)
        ProcessCollector(registry=self.registry)

    def exposition(self, accept: str = "") -> tuple[str, bytes]:
        """Return the media type and all metrics: in OpenMetrics for a reader that accepts it, which has the exemplars,
        else in Prometheus's text format."""
        encode, media_type = choose_encoder(accept)
        return media_type, encode(self.registry)

    def _counter(self, d: Definition) -> Counter:
        return Counter(d.name, d.help, d.labels, registry=self.registry)

    def _gauge(self, d: Definition) -> Gauge:
        return Gauge(d.name, d.help, d.labels, registry=self.registry)

    def _histogram(self, d: Definition) -> Histogram:
        return Histogram(d.name, d.help, d.labels, registry=self.registry, buckets=d.buckets)


class Metrics(_Registered):
    """The worker's metrics."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        super().__init__(registry)
        self.requests = self._counter(REQUESTS)
        self.postponed = self._counter(POSTPONED)
        self.untried = self._counter(UNTRIED)
        self.silent_sources = self._gauge(SILENT_SOURCES)
        self.request_seconds = self._histogram(REQUEST_SECONDS)
        self.request_age = self._histogram(REQUEST_AGE)
        self.deadline_used = self._histogram(DEADLINE_USED)
        self.stage_seconds = self._histogram(STAGE_SECONDS)
        self.stage_wait = self._counter(STAGE_WAIT)
        self.stage_photos = self._gauge(STAGE_PHOTOS)
        self.retries = self._counter(RETRIES)
        self.waiting = self._gauge(WAITING)
        self.ready = self._gauge(READY)
        self.oldest_request = self._gauge(OLDEST_REQUEST)
        self.oldest_age = self._gauge(OLDEST_AGE)
        self.in_flight = self._gauge(IN_FLIGHT)
        self.window = self._gauge(WINDOW)
        self.paused = self._counter(PAUSED)
        self.uncommitted = self._gauge(UNCOMMITTED)
        self.decoded_bytes = self._gauge(DECODED_BYTES)
        self.memory_budget = self._gauge(MEMORY_BUDGET)
        self.device_memory = self._gauge(DEVICE_MEMORY)
        self.background_lookups = self._counter(BACKGROUND_LOOKUPS)
        self.background_bytes = self._gauge(BACKGROUND_BYTES)
        self.backgrounds = self._gauge(BACKGROUNDS)
        self.batch_items = self._histogram(BATCH_ITEMS)
        self.inference_seconds = self._histogram(INFERENCE_SECONDS)
        self.auto = self._counter(AUTO_CHOICES)
        self.commits = self._counter(COMMITS)
        self.commit_seconds = self._histogram(COMMIT_SECONDS)
        self.commit_results = self._histogram(COMMIT_RESULTS)
        self.discarded = self._counter(DISCARDED)
        self.rebalances = self._counter(REBALANCES)
        self.partitions = self._gauge(PARTITIONS)
        self.stalled = self._counter(STALLED)
        self.unreadable = self._gauge(UNREADABLE)
        self.lag = self._gauge(LAG)
        self.backlog = self._gauge(BACKLOG)
        self.answered_offset = self._gauge(ANSWERED_OFFSET)
        self.source_bytes = self._counter(SOURCE_BYTES)
        self.source_pixels = self._counter(SOURCE_PIXELS)
        self.output_bytes = self._counter(OUTPUT_BYTES)
        self.decoder_restarts = self._counter(DECODER_RESTARTS)
        self.decoder_lines = self._counter(DECODER_LINES)
        self.heartbeat = self._gauge(HEARTBEAT)
        self.in_doubt = self._gauge(IN_DOUBT)
        self.halted = self._gauge(HALTED)
        self.info = self._gauge(INFO)


class GatewayMetrics(_Registered):
    """The gateway's metrics."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        super().__init__(registry)
        self.calls = self._counter(GATEWAY_CALLS)
        self.call_seconds = self._histogram(GATEWAY_SECONDS)
        self.waiting = self._gauge(GATEWAY_WAITING)
        self.refused = self._counter(GATEWAY_REFUSED)
        self.expected_wait = self._gauge(GATEWAY_WAIT)
        self.reading = self._gauge(GATEWAY_READING)
        self.upload_bytes = self._counter(GATEWAY_UPLOADS)
        self.open_photos = self._gauge(GATEWAY_OPEN)
        self.webhooks = self._counter(GATEWAY_WEBHOOKS)

"""The worker's main loop: poll, submit, collect, commit.

It never waits for a single request, for Triton or for a transaction. After a rebalance it may wait a few seconds for
the committed offsets.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping

from consumer.delivery.commits import Commit
from consumer.delivery.failure_limit import FailureLimit
from consumer.delivery.offsets import OffsetTracker
from consumer.delivery.outcomes import Abandoned, Answered, Crashed, Finished, Outcome, Postponed, TrackedRecord
from consumer.jobs import as_first_written
from consumer.window import Window
from cutstream.clients.kafka import CommitRefused, Committer, Partition, Polled, RequestSource
from cutstream.clock import Clock
from cutstream.errors import BrokerUnavailable, PoisonLimit
from cutstream.metrics import Metrics
from cutstream.settings import WorkerSettings

log = logging.getLogger(__name__)

_IDLE_POLL_S = 0.25
_JOIN_POLL_S = 0.05  # the join is noticed at the end of a poll
_BUSY_WAIT_S = 0.02
_FULL_WAIT_S = 0.1
_BROKER_WAIT_S = 0.5
_TRIM_INTERVAL_S = 30.0
# A transaction costs the brokers and the worker more than several results do. So with a backlog a result waits for
# others to share its own: for this part of the time that its request took so far, and for no more than a second.
_PATIENCE, _MOST_PATIENT_S = 0.05, 1.0
_MISSED = 2.0  # a share of the time to a deadline: how far it was missed says nothing more
_RETRIES_SHARE = 4  # the part of the window that requests from the retry topic may hold
_REFUSALS, _REFUSALS_AGE_S = 3, 60.0  # one or two are normal in a rebalance


class Loop:
    """Reads requests, keeps the window full, and commits the contiguous prefix of finished requests.

    What a record's headers say about earlier deliveries is believed on `retry_topic` only. `trim_memory` is called
    between requests to return freed memory to the system. `known_ends` returns the partitions' ends, which the source
    does not know while it fetches nothing, in a new mapping whenever they were asked for. As often `on_backlog`
    receives the number of requests in these partitions that have not been read yet, without those on the retry topic.
    """

    def __init__(
        self,
        source: RequestSource,
        committer: Committer,
        window: Window[TrackedRecord, Outcome],
        settings: WorkerSettings,
        metrics: Metrics,
        clock: Clock,
        *,
        retry_topic: str,
        trim_memory: Callable[[], None] = lambda: None,
        on_backlog: Callable[[int], None] = lambda _: None,
        known_ends: Callable[[], Mapping[Partition, int]] = dict,
    ) -> None:
        self._source = source
        self._committer = committer
        self._window = window
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._retry_topic = retry_topic
        self._trim_memory = trim_memory
        self._on_backlog = on_backlog
        self._known_ends = known_ends
        self._offsets: OffsetTracker[Finished] = OffsetTracker()
        self.partitions: frozenset[Partition] = frozenset()
        """The partitions of this worker, as of the last change. Any thread may read it."""
        self._retries: deque[TrackedRecord] = deque()  # read from the retry topic, not begun
        self._most_retried = max(1, settings.window // _RETRIES_SHARE)
        self._retried = 0  # of the retry topic, under way
        self._commit: Commit | None = None
        self._last_commit = clock.monotonic()
        self._patience_s = _MOST_PATIENT_S  # of the results since then: the least
        self._backlog = 0
        self._failures = FailureLimit(settings.max_consecutive_failures)
        self._worked_since_trim = False
        self._last_trim = clock.monotonic()
        self._observed_ends: Mapping[Partition, int] = {}
        self._stopping_since: float | None = None
        self._last_heartbeat: float | None = None
        self._full = False
        self._refused = 0
        self._last_refused = 0.0

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then drain: finish and commit the requests in flight.

        Returns when they are committed or when `drain_timeout_s` is over. Raises Fatal at once, except PoisonLimit,
        which it raises after a drain.
        """
        try:
            while not self._drained():
                if self._stopping_since is None and (stop.is_set() or self.halting):
                    log.info("draining", extra={"in_flight": self._window.in_flight})
                    self._stopping_since = self._clock.monotonic()
                self._run_once()
        finally:
            self._last_heartbeat = None
            self._clear_gauges()
        if self.halting is not None:
            raise self.halting

    @property
    def halting(self) -> PoisonLimit | None:
        """The reason why this worker gives up reading, if it does. Any thread may ask."""
        return self._failures.reached

    @property
    def joined(self) -> bool:
        """True while this worker is a member of a stable group, with or without partitions."""
        return self._source.membership is not None

    @property
    def commits(self) -> bool:
        """False after three refused transactions in a row, until one succeeds or none is tried for a minute."""
        return self._refused < _REFUSALS or self._clock.monotonic() - self._last_refused > _REFUSALS_AGE_S

    def seconds_since_heartbeat(self) -> float:
        """Return the time since the last turn of the loop began, 0 while it does not run. Any thread may call it."""
        last = self._last_heartbeat
        return 0.0 if last is None else self._clock.monotonic() - last

    def _run_once(self) -> None:
        now_s = self._clock.monotonic()
        if self._full and self._last_heartbeat is not None:
            self._metrics.paused.inc(now_s - self._last_heartbeat)
        self._last_heartbeat = now_s
        self._metrics.heartbeat.set(self._clock.wall())
        self._read_requests()
        self._full = self._window.free == 0
        self._collect_outcomes()
        self._advance_commit()
        self._observe_partitions()
        self._trim_if_due()

    def _observe_partitions(self) -> None:
        """Say how far each partition is answered and what is left of it, whenever the ends have just been asked for.

        Old ends and a new position would give a lag that never was.
        """
        ends = self._known_ends()
        if ends is self._observed_ends:
            return
        self._observed_ends = ends
        now_ms = self._clock.wall() * 1000
        backlog, oldest_ms = 0, now_ms
        for partition in self.partitions:
            first, position = self._offsets.first(partition), self._source.position(partition)
            answered = position if first is None else first.offset
            end = max(ends.get(partition, 0), self._source.end_offset(partition) or 0)
            if answered is not None:
                labels = partition.topic, str(partition.number)
                self._metrics.lag.labels(*labels).set(max(0, end - answered))
                self._metrics.answered_offset.labels(*labels).set(answered)
            if partition.topic == self._retry_topic:  # its requests wait until they are due
                continue
            backlog += 0 if position is None else max(0, end - position)
            written_ms = self._source.timestamp_ms(partition) if first is None else first.timestamp_ms
            if written_ms is not None and written_ms >= 0:  # a record may be without a timestamp
                oldest_ms = min(oldest_ms, written_ms)
        self._backlog = backlog
        self._on_backlog(backlog)
        self._metrics.backlog.set(backlog)
        self._metrics.oldest_age.set((now_ms - oldest_ms) / 1000)  # exactly 0 without a request

    def _trim_if_due(self) -> None:
        """Trim memory every half minute, but only after requests were worked on."""
        if self._worked_since_trim and self._clock.monotonic() - self._last_trim >= _TRIM_INTERVAL_S:
            self._trim_memory()
            self._worked_since_trim, self._last_trim = False, self._clock.monotonic()

    def _clear_gauges(self) -> None:
        """Nothing is this worker's any more: it leaves the group next."""
        m = self._metrics
        for gauge in (m.in_flight, m.uncommitted, m.oldest_request, m.oldest_age, m.backlog):
            gauge.set(0)
        self._metrics.partitions.set(0)
        self._metrics.unreadable.set(0)
        self._metrics.lag.clear()
        self._metrics.answered_offset.clear()

    # -- reading

    def _read_requests(self) -> None:
        self._begin_retries()  # before what is read now, which would take their places again and again
        try:
            polled = self._source.poll(self._poll_timeout_s(), self._wanted(), self._held())
        except BrokerUnavailable as exc:
            log.warning("broker away: %s", exc)
            self._metrics.retries.labels("poll", exc.code).inc()
            self._clock.sleep(_BROKER_WAIT_S)
            return
        self._handle_rebalance(polled)
        self._metrics.unreadable.set(polled.unreadable)
        for record in polled.records:
            tracked = self._offsets.track(record.partition, record.offset, self._clock.monotonic(), record.timestamp_ms)
            if record.partition.topic == self._retry_topic:
                self._retries.append(TrackedRecord(tracked, record))
            else:
                self._window.submit(TrackedRecord(tracked, as_first_written(record)))
        self._begin_retries()

    def _begin_retries(self) -> None:
        """Begin what comes from the retry topic, as far as its share of the window allows: much of it takes long."""
        while self._retries and self._retried < self._most_retried and self._wanted():
            self._retried += 1
            self._window.submit(self._retries.popleft())

    def _poll_timeout_s(self) -> float:
        """Return zero while requests are in flight, because `_collect_outcomes` waits for them instead.

        The poll waits when nothing is in flight. It also waits while the group is being joined, because a join makes
        progress only in polls with time.
        """
        if self._window.in_flight == 0 and self._commit is None and not self._offsets.finished_count:
            return _IDLE_POLL_S if self.joined else _JOIN_POLL_S
        return 0.0 if self._window.in_flight and self.joined else _BUSY_WAIT_S

    def _wanted(self) -> int:
        """Return how many requests may be read now."""
        return 0 if self._stopping_since is not None else self._window.free

    def _held(self) -> frozenset[Partition]:
        """Return the partitions of which no more may be read now: the others are read on.

        Their share of the uncommitted results is used up, or the retry topic's share of the window.
        """
        share = self._settings.max_uncommitted // max(1, len(self._source.partitions))
        held = self._offsets.partitions_with(max(1, share))
        if self._retries or self._retried >= self._most_retried:
            held |= {partition for partition in self._source.partitions if partition.topic == self._retry_topic}
        return held

    def _handle_rebalance(self, polled: Polled) -> None:
        for change, partitions in (("lost", polled.lost), ("gained", polled.gained)):
            if partitions:
                log.info("partitions %s", change, extra={"partitions": sorted(map(str, partitions))})
                self._metrics.rebalances.labels(change).inc()
                self._drop_partitions(partitions)
        if polled.stalled:
            self._metrics.stalled.inc(len(polled.stalled))
            self._drop_partitions(polled.stalled)
        if polled.lost or polled.gained:
            for partition in self.partitions - self._source.partitions:
                for gauge in (self._metrics.lag, self._metrics.answered_offset):
                    gauge.remove(partition.topic, str(partition.number))
            self.partitions = self._source.partitions
            self._metrics.partitions.set(len(self.partitions))

    def _drop_partitions(self, partitions: frozenset[Partition]) -> None:
        """Discard the work on these partitions, finished or not."""
        self._metrics.discarded.inc(self._offsets.drop(partitions))
        self._retries = deque(task for task in self._retries if task.record.partition not in partitions)

    # -- collecting

    def _collect_outcomes(self) -> None:
        for outcome in self._window.collect(self._collect_timeout_s()):
            self._worked_since_trim = True
            if not isinstance(outcome, Crashed) and outcome.tracked.partition.topic == self._retry_topic:
                self._retried -= 1
            match outcome:
                case Crashed(error=error):
                    raise error
                case Abandoned():
                    continue
                case Answered():
                    self._failures.note(outcome)
                    self._finish(outcome)
                case Postponed():
                    self._finish(outcome)
        self._metrics.in_flight.set(self._window.in_flight)
        self._metrics.uncommitted.set(self._offsets.finished_count)
        oldest_s = self._offsets.oldest_read_s
        self._metrics.oldest_request.set(0.0 if oldest_s is None else self._clock.monotonic() - oldest_s)

    def _finish(self, outcome: Finished) -> None:
        if self._offsets.finish(outcome.tracked, outcome):
            self._patience_s = min(self._patience_s, self._patience_for(outcome))
        else:
            self._metrics.discarded.inc()

    def _patience_for(self, outcome: Finished) -> float:
        """Return how long an outcome may wait for its commit, if there is a backlog."""
        written_ms = outcome.tracked.timestamp_ms
        return 0.0 if written_ms < 0 else (self._clock.wall() - written_ms / 1000) * _PATIENCE

    def _collect_timeout_s(self) -> float:
        """Return how long to wait for an outcome. The wait may be longer when the window is full.

        A full window takes no new request until an outcome ends the wait. While the group is being joined the loop does
        not wait here, because the client discards a join that ends between two polls.
        """
        if self._window.in_flight == 0 or not self.joined:
            return 0.0
        return _BUSY_WAIT_S if self._window.free else _FULL_WAIT_S

    # -- committing

    def _advance_commit(self) -> None:
        if self._commit is not None and self._commit.done:
            self._finish_commit(self._commit)
        if self._commit is None and self._commit_due():
            self._start_commit()

    def _commit_due(self) -> bool:
        """Decide whether to commit now: soon for latency, rarely for cost.

        When nothing is in flight, no further result could share the transaction, so it is due at once. While more
        requests wait than the window holds, results wait longer, but none for more than a twentieth of its age.
        """
        finished = self._offsets.finished_count
        if finished == 0:
            return False
        waited = self._clock.monotonic() - self._last_commit
        return (
            self._window.in_flight == 0
            or finished >= self._settings.commit_max_results
            or waited >= self._commit_interval_s()
        )

    def _commit_interval_s(self) -> float:
        configured_s = self._settings.commit_interval_s
        return max(configured_s, self._patience_s) if self._backlog > self._settings.window else configured_s

    def _start_commit(self) -> None:
        self._last_commit, self._patience_s = self._clock.monotonic(), _MOST_PATIENT_S
        membership = self._source.membership
        batch = self._offsets.next_batch(self._settings.commit_max_results, self._source.position)
        if membership is not None and batch.outcomes:
            self._commit = Commit(self._committer, batch, membership, self._clock)

    def _finish_commit(self, commit: Commit) -> None:
        self._commit = None
        try:
            commit.result()
        except CommitRefused as exc:
            log.warning("transaction refused: %s", exc)
            self._metrics.commits.labels("refused").inc()
            self._refused, self._last_refused = self._refused + 1, self._clock.monotonic()
            self._read_again(self._source.partitions)
            return
        self._refused = 0
        self._read_again(self._offsets.mark_committed(commit.batch))
        self._record_metrics(commit)

    def _read_again(self, partitions: frozenset[Partition]) -> None:
        """Read these partitions from their committed offsets, as far as they are ours."""
        partitions &= self._source.partitions
        if partitions:
            self._drop_partitions(partitions)
            self._source.rewind(partitions)

    def _record_metrics(self, commit: Commit) -> None:
        self._metrics.commits.labels("ok").inc()
        self._metrics.commit_seconds.observe(commit.seconds)
        self._metrics.commit_results.observe(len(commit.batch.outcomes))
        for outcome in commit.batch.outcomes:
            match outcome:
                case Answered():
                    self._record_answer(outcome)
                case Postponed():
                    self._metrics.postponed.labels(outcome.code).inc()

    def _record_answer(self, answered: Answered) -> None:
        m, written_s = self._metrics, answered.timestamp_ms / 1000
        m.requests.labels(answered.profile, answered.status, answered.code).inc()
        m.request_seconds.observe(self._clock.monotonic() - answered.started_s, answered.exemplar)
        if answered.timestamp_ms < 0:  # a record may be without a timestamp
            return
        age_s = max(0.0, self._clock.wall() - written_s)
        m.request_age.observe(age_s, answered.exemplar)
        if answered.deadline_s is not None:
            allowed_s = answered.deadline_s - written_s
            m.deadline_used.observe(min(age_s / allowed_s, _MISSED) if allowed_s > 0 else _MISSED)

    # -- stopping

    def _drained(self) -> bool:
        if self._stopping_since is None:
            return False
        if self._commit is None and self._window.in_flight == 0 and not self._offsets.next_batch(1).outcomes:
            return True
        if self._clock.monotonic() - self._stopping_since < self._settings.drain_timeout_s:
            return False
        log.warning("drain time is over", extra={"left": self._window.in_flight})
        return True

"""The main loop: poll, submit, collect, commit. It waits for no photo, Triton or transaction, and for committed
offsets a few seconds at most."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from consumer.delivery.commits import Commit
from consumer.delivery.offsets import OffsetTracker
from consumer.delivery.outcomes import Abandoned, Answered, Crashed, Outcome, TrackedRecord
from consumer.window import Window
from cutstream.clients.kafka import CommitRefused, Committer, Partition, Polled, RequestReader
from cutstream.clock import Clock
from cutstream.errors import BrokerUnavailable, PoisonLimit
from cutstream.metrics import Metrics
from cutstream.settings import WorkerSettings

log = logging.getLogger(__name__)

_IDLE_POLL_S = 0.25
_BUSY_WAIT_S = 0.02
_FULL_WAIT_S = 0.1
_BROKER_WAIT_S = 0.5
_TIDY_S = 30.0


class Loop:
    """Reads requests, keeps the window full, and commits the contiguous prefix of what is finished."""

    def __init__(
        self,
        reader: RequestReader,
        committer: Committer,
        window: Window[TrackedRecord, Outcome],
        metrics: Metrics,
        clock: Clock,
        settings: WorkerSettings,
        tidy: Callable[[], None] = lambda: None,
        backlog: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._reader = reader
        self._committer = committer
        self._window = window
        self._metrics = metrics
        self._clock = clock
        self._settings = settings
        self._tidy = tidy
        self._backlog = backlog
        self._not_begun: dict[Partition, int] = {}
        self._last_tidy = clock.monotonic()
        self._worked = False
        self._ledger: OffsetTracker[Answered] = OffsetTracker()
        self._commit: Commit | None = None
        self._last_commit = clock.monotonic()
        self._poison_in_a_row = 0
        self._stopping_since: float | None = None
        self._beat = clock.monotonic()

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set and what is under way is finished and committed, or the drain time is over."""
        while not self._drained():
            if stop.is_set() and self._stopping_since is None:
                log.info("draining", extra={"in_flight": self._window.busy})
                self._stopping_since = self._clock.monotonic()
            self._turn()

    @property
    def joined(self) -> bool:
        """Whether this worker is a settled member of the group, with or without partitions."""
        return self._reader.membership is not None

    def seconds_since_heartbeat(self) -> float:
        """Seconds since the loop last came round."""
        return self._clock.monotonic() - self._beat

    def _turn(self) -> None:
        self._beat = self._clock.monotonic()
        self._metrics.heartbeat.set(self._clock.wall())
        self._read()
        self._collect()
        self._publish()
        self._tidy_up()

    def _tidy_up(self) -> None:
        """Every half minute, if photos were worked on since."""
        if self._worked and self._clock.monotonic() - self._last_tidy >= _TIDY_S:
            self._tidy()
            self._worked, self._last_tidy = False, self._clock.monotonic()

    # -- reading

    def _read(self) -> None:
        full = self._full()
        try:
            self._reader.pause(full)
            polled = self._reader.poll(self._poll_s(), max(1, self._window.free))
        except BrokerUnavailable as exc:
            log.warning("broker away: %s", exc)
            self._metrics.retries.labels("poll", exc.code).inc()
            self._clock.sleep(_BROKER_WAIT_S)
            return
        self._follow(polled)
        for record in polled.records:
            ticket = self._ledger.begin(record.partition, record.offset)
            self._window.submit(TrackedRecord(ticket, record))
            end = self._reader.end_offset(record.partition) or 0
            self._not_begun[record.partition] = max(0, end - record.offset - 1)
        self._backlog(sum(self._not_begun.values()))

    def _poll_s(self) -> float:
        """No time while photos are under way, whose outcomes are waited for instead.

        Otherwise, and while the group is being joined, polling is the wait: a join makes no progress without time.
        """
        if self._window.busy == 0 and self._commit is None and not self._ledger.finished:
            return _IDLE_POLL_S
        return 0.0 if self._window.busy and self.joined else _BUSY_WAIT_S

    def _full(self) -> bool:
        return (
            self._stopping_since is not None
            or self._window.free == 0
            or self._ledger.finished >= self._settings.max_uncommitted
        )

    def _follow(self, polled: Polled) -> None:
        for change, partitions in (("lost", polled.lost), ("gained", polled.gained)):
            if partitions:
                log.info("partitions %s", change, extra={"partitions": sorted(p.number for p in partitions)})
                self._metrics.rebalances.labels(change).inc()
                self._forget(partitions)
        if polled.lost or polled.gained:
            self._metrics.partitions.set(len(self._reader.partitions))

    def _forget(self, partitions: frozenset[Partition]) -> None:
        self._metrics.discarded.inc(self._ledger.drop(partitions))
        for partition in partitions:
            self._not_begun.pop(partition, None)

    # -- collecting

    def _collect(self) -> None:
        for outcome in self._window.collect(self._patience_s()):
            self._worked = True
            match outcome:
                case Crashed(error=error):
                    raise error
                case Abandoned():
                    continue
                case Answered():
                    self._count_poison(outcome)
                    if not self._ledger.finish(outcome.tracked, outcome):
                        self._metrics.discarded.inc()
        self._metrics.in_flight.set(self._window.busy)
        self._metrics.uncommitted.set(self._ledger.finished)

    def _patience_s(self) -> float:
        """A full window has room for nothing until a photo is finished, and that ends the wait.

        While the group is being joined there is none: the client throws a join away that ends between two polls.
        """
        if self._window.busy == 0 or not self.joined:
            return 0.0
        return _BUSY_WAIT_S if self._window.free else _FULL_WAIT_S

    def _count_poison(self, answered: Answered) -> None:
        self._poison_in_a_row = self._poison_in_a_row + 1 if answered.status == "failed" else 0
        if self._poison_in_a_row >= self._settings.max_consecutive_failures:
            raise PoisonLimit(
                f"{self._poison_in_a_row} requests in a row failed, the last with {answered.code!r}: stopping before "
                "the topic is emptied into the dead letters (docs/settings.md#worker-max-consecutive-failures)"
            )

    # -- committing

    def _publish(self) -> None:
        if self._commit is not None and self._commit.done:
            self._settle(self._commit)
        if self._commit is None and self._due():
            self._begin_commit()

    def _due(self) -> bool:
        """Soon enough to be quick, seldom enough to be cheap; at once when nothing is left to share a transaction."""
        finished = self._ledger.finished
        if finished == 0:
            return False
        waited = self._clock.monotonic() - self._last_commit
        return (
            self._window.busy == 0
            or finished >= self._settings.commit_max_results
            or waited >= self._settings.commit_interval_s
        )

    def _begin_commit(self) -> None:
        self._last_commit = self._clock.monotonic()
        membership = self._reader.membership
        ready = self._ledger.ready(self._settings.commit_max_results)
        if membership is not None and ready.outcomes:
            self._commit = Commit(self._committer, ready, membership, self._clock)

    def _settle(self, commit: Commit) -> None:
        self._commit = None
        try:
            commit.result()
        except CommitRefused as exc:
            log.warning("transaction refused: %s", exc)
            self._metrics.commits.labels("refused").inc()
            self._forget(self._reader.partitions)
            self._reader.rewind(self._reader.partitions)
            return
        self._ledger.settle(commit.ready)
        self._account(commit)

    def _account(self, commit: Commit) -> None:
        now, wall = self._clock.monotonic(), self._clock.wall()
        self._metrics.commits.labels("ok").inc()
        self._metrics.commit_seconds.observe(commit.seconds)
        self._metrics.commit_results.observe(len(commit.ready.outcomes))
        for answered in commit.ready.outcomes:
            self._metrics.requests.labels(answered.status, answered.code).inc()
            self._metrics.request_seconds.observe(now - answered.started_s)
            self._metrics.request_age.observe(max(0.0, wall - answered.timestamp_ms / 1000))
        for partition, offset in commit.ready.offsets.items():
            end = self._reader.end_offset(partition)
            if end is not None:
                self._metrics.lag.labels(str(partition.number)).set(max(0, end - offset))

    # -- stopping

    def _drained(self) -> bool:
        if self._stopping_since is None:
            return False
        if self._commit is None and self._window.busy == 0 and not self._ledger.ready(1).outcomes:
            return True
        if self._clock.monotonic() - self._stopping_since < self._settings.drain_timeout_s:
            return False
        log.warning("drain time is over", extra={"left": self._window.busy})
        return True

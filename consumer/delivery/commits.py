"""One transaction under way, on a thread of its own, so that the loop goes on polling while brokers are slow."""

from __future__ import annotations

import threading

from consumer.delivery.offsets import Ready
from consumer.delivery.outcomes import Answered
from cutstream.clients.kafka import CommitRefused, Committer, Membership
from cutstream.clock import Clock
from cutstream.errors import BrokerUnavailable


class Commit:
    """Starts at once; `result` is to be asked when `done`."""

    def __init__(self, committer: Committer, ready: Ready[Answered], membership: Membership, clock: Clock) -> None:
        self.ready = ready
        self.seconds = 0.0
        self._error: Exception | None = None
        self._clock = clock
        self._thread = threading.Thread(target=self._run, args=(committer, membership), name="commit", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def result(self) -> None:
        """Raises CommitRefused when nothing was committed, Fatal when another worker took this identity."""
        if isinstance(self._error, BrokerUnavailable):
            raise CommitRefused(str(self._error)) from self._error
        if self._error is not None:
            raise self._error

    def _run(self, committer: Committer, membership: Membership) -> None:
        begun = self._clock.monotonic()
        try:
            records = [record for answered in self.ready.outcomes for record in answered.records]
            committer.commit(records, self.ready.offsets, membership)
        except Exception as exc:
            self._error = exc
        self.seconds = self._clock.monotonic() - begun

"""Commits on a thread of their own, so that the loop keeps polling while the brokers are slow."""

from __future__ import annotations

import threading

from consumer.delivery.offsets import CommitBatch
from consumer.delivery.outcomes import Finished
from cutstream.clients.kafka import CommitRefused, Committer, Membership
from cutstream.clock import Clock
from cutstream.errors import BrokerUnavailable


class Commit:
    """A commit in progress. It starts at once; call `result` when `done` is true."""

    def __init__(
        self, committer: Committer, batch: CommitBatch[Finished], membership: Membership, clock: Clock
    ) -> None:
        self.batch = batch
        self.seconds = 0.0
        self._error: Exception | None = None
        self._clock = clock
        self._thread = threading.Thread(target=self._run, args=(committer, membership), name="commit", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def result(self) -> None:
        """Return if the commit succeeded.

        Raises CommitRefused when nothing was committed, and Fatal when the worker cannot go on, for instance because
        another worker uses its transactional id.
        """
        if isinstance(self._error, BrokerUnavailable):
            raise CommitRefused(str(self._error)) from self._error
        if self._error is not None:
            raise self._error

    def _run(self, committer: Committer, membership: Membership) -> None:
        started = self._clock.monotonic()
        try:
            records = [record for finished in self.batch.outcomes for record in finished.records]
            committer.commit(records, self.batch.offsets, membership)
        except Exception as exc:
            self._error = exc
        self.seconds = self._clock.monotonic() - started

"""The retry topic: when a request is due again that names a place which is away, or that the worker holds back."""

from __future__ import annotations

from dataclasses import dataclass

from consumer.jobs import Job, Progress
from cutstream.clock import Clock
from cutstream.errors import Expired, PlaceUnavailable, Poison
from cutstream.settings import LimitSettings


@dataclass(frozen=True)
class RetryPolicy:
    """Postpones a request, until its attempts or its time are used up. Thread-safe.

    The delay is the same for all requests, even if the place names a longer one. Therefore the retry topic is in the
    order in which its requests are due, and none waits longer than one delay after it was written there.
    """

    limits: LimitSettings
    clock: Clock

    def next_attempt_ms(
        self, job: Job, progress: Progress, error: PlaceUnavailable | Poison, in_doubt: bool = False
    ) -> int:
        """Return when the request is due again, in milliseconds since the Unix epoch.

        `in_doubt` says that the deployment itself may be the cause: then there are `outage_retries` more, as there are
        of deliveries at which the place was not tried. Raises the error with which the request fails after its last
        attempt, or Expired if it would be due only after its deadline.
        """
        attempts, deadline = progress.attempts, job.recipe.deadline
        spent = self._is_spent(attempts - self.limits.outage_retries if in_doubt else attempts)
        if spent or progress.untried > self.limits.retries + self.limits.outage_retries:
            raise error.given_up(attempts) if isinstance(error, PlaceUnavailable) else error
        due_s = self.clock.wall() + self.limits.retry_delay_s
        if deadline is not None and due_s >= deadline.timestamp():
            raise Expired(
                f"{error} ({attempts} attempts); the next attempt would be after the deadline {deadline}", error.code
            ) from error
        return round(due_s * 1000)

    def _is_spent(self, attempts: int) -> bool:
        """Return whether these are all the attempts that a request has while nothing is wrong with the worker."""
        return attempts >= self.limits.source_attempts + self.limits.retries

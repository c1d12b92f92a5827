"""The retry topic: when a request is due again whose own source is away."""

from __future__ import annotations

from dataclasses import dataclass

from consumer.jobs import Job, Progress
from cutstream.clock import Clock
from cutstream.errors import Expired, SourceUnavailable
from cutstream.settings import LimitSettings


@dataclass(frozen=True)
class RetryPolicy:
    """Postpones a request whose source is away, until its attempts or its time are used up. Thread-safe.

    The delay is the same for all requests, even if the source names a longer one. Therefore the retry topic is in the
    order in which its requests are due, and none waits longer than one delay after it was written there.
    """

    limits: LimitSettings
    clock: Clock

    def next_attempt_ms(self, job: Job, progress: Progress, error: SourceUnavailable) -> int:
        """Return when the request is due again, in milliseconds since the Unix epoch.

        Raises the error with which the request fails after its last attempt, or Expired if it would be due only after
        its deadline.
        """
        attempts, deadline = progress.attempts, job.recipe.deadline
        if attempts >= self.limits.source_attempts + self.limits.retries:
            raise error.given_up(attempts) from error
        due_s = self.clock.wall() + self.limits.retry_delay_s
        if deadline is not None and due_s >= deadline.timestamp():
            raise Expired(
                f"{error} ({attempts} attempts); the next attempt would be after the deadline {deadline}"
            ) from error
        return round(due_s * 1000)

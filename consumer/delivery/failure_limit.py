"""Stops the worker before a fault of its deployment empties the topic into the dead letters.

What counts is decided by the error (`Poison.points_to`):

    request      never counts: the sender, or the host that was named, is at fault
    settings     never counts: requests that the settings refuse are held back (consumer/delivery/doubts.py)
    deployment   counts always

Failures of one photo count once, and so do those of one background or destination, however its address is spelt. A
success resets the count; `expired` and `cancelled` change nothing.
"""

from __future__ import annotations

from collections import Counter

from consumer.delivery.outcomes import Answered, Suspicion
from consumer.delivery.places import picture_of
from consumer.jobs import Job
from cutstream.clients.kafka import Record
from cutstream.contract.messages import MAX_MESSAGE_CHARACTERS
from cutstream.errors import (
    BackgroundFailed,
    BackgroundUnavailable,
    DestinationFailed,
    DestinationUnavailable,
    PlaceUnavailable,
    Poison,
    PoisonLimit,
    RefusedBackground,
    RefusedDestination,
    UnknownBackground,
)

_OF_THE_BACKGROUND = (BackgroundFailed, BackgroundUnavailable, RefusedBackground, UnknownBackground)
_OF_THE_DESTINATION = (DestinationFailed, DestinationUnavailable, RefusedDestination)


def blamed_address(error: Poison | PlaceUnavailable, job: Job) -> str:
    """Return the address of the photo, or of the background or the destination if the error is about that."""
    picture, destination = job.recipe.composition.background.picture, job.recipe.destination
    if picture and isinstance(error, _OF_THE_BACKGROUND):
        return picture
    return destination if destination and isinstance(error, _OF_THE_DESTINATION) else job.recipe.image


def suspicion(error: Poison, record: Record, job: Job | None) -> Suspicion | None:
    """Return what a failure says about the deployment, if anything. `job` is None if there is none yet."""
    if error.points_to != "deployment":
        return None
    subject = f"{record.partition.topic}-{record.partition.number}-{record.offset}"
    if job is not None:
        subject = picture_of(blamed_address(error, job))
    return Suspicion(subject, str(error)[:MAX_MESSAGE_CHARACTERS])


class FailureLimit:
    """Counts the failures that point to the deployment. One thread uses it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counted: dict[str, str] = {}  # subject -> code
        self.reached: PoisonLimit | None = None
        """The reason to halt, once there are too many. It stays."""

    def note(self, answered: Answered) -> None:
        """Take an outcome into account, in the order in which requests finish."""
        suspicion = answered.suspicion
        if answered.status == "ok":
            self._counted.clear()
        elif suspicion is not None:
            self._counted[suspicion.subject] = answered.code
            if self.reached is None and len(self._counted) >= self._limit:
                self.reached = self._reason(suspicion)

    def _reason(self, last: Suspicion) -> PoisonLimit:
        codes = ", ".join(f"{count} × {code}" for code, count in Counter(self._counted.values()).most_common())
        return PoisonLimit(
            f"{len(self._counted)} failures without a success between them point to this deployment ({codes}); the "
            f"last one: {last.message}. The worker halts, so that the topic does not end in the dead letters. Correct "
            "the cause, restart the worker and replay the dead letters (docs/runbook.md#a-worker-is-halted)"
        )

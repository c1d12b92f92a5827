"""Stops the worker before a misconfiguration of its deployment empties the topic into the dead letters.

What counts is decided by the error (`Poison.points_to`), and by what the failures have in common:

    request      never counts: the sender is at fault
    source       a source that does not answer: all failures of one host, of one bucket or of the files count once
    settings     counts until the first success of this worker, because a worker's settings never change
    deployment   counts always

Failures of one photo count once, and so do those of one background, however its address is spelt. A success starts
the count anew; `expired` and `cancelled` change nothing.
"""

from __future__ import annotations

from collections import Counter

from consumer.delivery.outcomes import Answered, Suspicion
from consumer.delivery.places import picture_of, place_of
from consumer.jobs import Job
from cutstream.clients.kafka import Record
from cutstream.contract.messages import MAX_MESSAGE_CHARACTERS
from cutstream.errors import BackgroundFailed, Poison, PoisonLimit, RefusedBackground, UnknownBackground

_OF_THE_BACKGROUND = (BackgroundFailed, RefusedBackground, UnknownBackground)


def suspicion(error: Poison, record: Record, job: Job | None) -> Suspicion | None:
    """Return what a failure points to apart from its request, if anything. `job` is None if there is none yet."""
    if error.points_to == "request":
        return None
    subject = f"{record.partition.topic}-{record.partition.number}-{record.offset}"
    if job is not None:
        picture = job.recipe.composition.background.picture
        address = picture if picture and isinstance(error, _OF_THE_BACKGROUND) else job.recipe.image
        subject = place_of(address) if error.points_to == "source" else picture_of(address)
    return Suspicion(error.points_to, subject, str(error)[:MAX_MESSAGE_CHARACTERS])


class FailureLimit:
    """Counts the failures that do not point to their requests. One thread uses it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._proven = False
        self._counted: dict[str, str] = {}  # subject -> code
        self.reached: PoisonLimit | None = None
        """The reason to halt, once there are too many. It stays."""

    def note(self, answered: Answered) -> None:
        """Take an outcome into account, in the order in which requests finish."""
        suspicion = answered.suspicion
        if answered.status == "ok":
            self._proven = True
            self._counted.clear()
        elif suspicion is not None and not (self._proven and suspicion.points_to == "settings"):
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

"""What the store of jobs takes and returns. All times are in seconds since the Unix epoch."""

from __future__ import annotations

from dataclasses import dataclass

from cutstream.contract.messages import Result


@dataclass(frozen=True)
class NewPhoto:
    """A photo of a new job. `name` is what the client calls it, `upload` its address if the client has sent it."""

    id: str
    name: str
    upload: str | None
    request: bytes


@dataclass(frozen=True)
class Job:
    """A job as it is now. Times are in seconds since the Unix epoch. `open` photos have no result yet."""

    id: str
    client: str
    created: float
    finished: float | None
    urgent: bool
    cancelled: bool
    photos: int
    open: int
    webhook: str | None
    webhook_state: str
    webhook_attempts: int

    def is_past(self, now: float, result_age_s: float) -> bool:
        """Return whether it is to be removed: it was done so long ago, and no webhook of it is still to be sent."""
        is_told = self.webhook is None or self.webhook_state in ("delivered", "given_up")
        return self.finished is not None and self.finished + result_age_s <= now and is_told


@dataclass(frozen=True)
class Photo:
    """A photo of a job. `place` counts the photos of the job in the order of their results, from 1."""

    number: int
    id: str
    name: str
    upload: str | None
    place: int | None
    result: Result | None
    request: bytes


@dataclass(frozen=True)
class Unwritten:
    """A request that is not known to have been written to Kafka."""

    id: str
    job: str
    created: float
    urgent: bool
    cancelled: bool
    request: bytes


class IdempotencyKeyTaken(Exception):
    """The client has used this idempotency key for the job `id`. `same` says whether it asked for the same."""

    def __init__(self, id: str, same: bool) -> None:
        super().__init__(id)
        self.id = id
        self.same = same

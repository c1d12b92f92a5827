"""The last photos and failures of one worker, for the live page. Bounded, in memory, and gone with the process."""

from __future__ import annotations

import re
import shlex
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from cutstream.printable import one_line

MOST_PHOTOS, MOST_FAILURES = 12, 20
_MOST_CHARACTERS = 300
# What a shell and a terminal take as it is. Anything else in a command to paste may be somebody's trap.
_PLAIN_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:@/+=,-]{0,199}")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Photo:
    """A finished photo and its cutout, as small WebP or JPEG files.

    `seconds` is the photo's time in the worker, `at_s` the Unix time of its end.
    """

    id: str
    at_s: float
    profile: str
    seconds: float
    width: int
    height: int
    photo: bytes
    cutout: bytes


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that failed for good. `message` is empty where it may not be shown."""

    id: str
    at_s: float
    code: str
    stage: str
    message: str = ""

    @property
    def command(self) -> str:
        """The command that shows the dead letter. Only an id that is plain is part of it."""
        if _PLAIN_ID.fullmatch(self.id):
            return f"cutstream dead-letters show {shlex.quote(self.id)}"
        return f"cutstream dead-letters list --code {shlex.quote(self.code)}"


class Ring(Generic[T]):
    """The last so many values, each with the number that it came as. Thread-safe."""

    def __init__(self, most: int) -> None:
        self._values: deque[tuple[int, T]] = deque(maxlen=most)
        self._count = 0
        self._lock = threading.Lock()

    def add(self, value: T) -> None:
        with self._lock:
            self._count += 1
            self._values.append((self._count, value))

    def after(self, number: int) -> Sequence[tuple[int, T]]:
        """Return what has come after this number and is still there, the oldest first."""
        with self._lock:
            return [pair for pair in self._values if pair[0] > number]


class Recent:
    """What the page shows besides numbers. `watched` is true while somebody has the page open."""

    def __init__(self, shows_photos: bool) -> None:
        self.shows_photos = shows_photos
        self.watched = False
        self.photos: Ring[Photo] = Ring(MOST_PHOTOS)
        self.failures: Ring[Failure] = Ring(MOST_FAILURES)

    def add_failure(self, id: str, at_s: float, code: str, stage: str, message: str) -> None:
        """Note a failure. Without photos its message is dropped here: it holds the photo's address."""
        self.failures.add(Failure(id, at_s, code, stage, message if self.shows_photos else ""))


def shown(text: str) -> str:
    r"""Return what a stranger wrote as it may be shown: one line, of bounded length, with `\uXXXX` for what steers."""
    line = one_line(text[: 2 * _MOST_CHARACTERS])
    return line if len(line) <= _MOST_CHARACTERS else line[: _MOST_CHARACTERS - 1] + "…"

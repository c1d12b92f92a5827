"""What each start of the embedded Kafka would otherwise do again: done once, and kept beside the jars.

A head start is a folder with

    kafka.aot   Kafka's classes, loaded and linked: an ahead-of-time cache of the JVM (JEP 483 and 514)
    storage/    the empty storage of a single node, as Kafka's own tool formats it in a JVM of its own
    made.json   the digests of these files

`training.py` makes it. Each start checks that nobody but its user can have put anything into the folder of the jars. A
head start's name is a digest of the jars, of Java and of its options, so that a change of these leads to another one. A
Java of the user's own gets none. Without one Kafka starts as well, in three times the time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cutstream.clock import SystemClock
from cutstream.settings import StackSettings
from deploy.local.jars import digest, read_lock
from deploy.local.java import JVM, java

PREFIX = "head-start-"
CACHE, STORAGE, MADE = "kafka.aot", "storage", "made.json"
_TRY_AGAIN_S = 86_400
_OF_JAVA = ("release", "lib/modules", "lib/server/libjvm.so")


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What a training has left: the SHA-256 of each file, by its path in the folder, or why there is none."""

    files: dict[str, str] = {}
    problem: str = ""


@dataclass(frozen=True)
class HeadStart:
    """A cache for the option `-XX:AOTCache`, and a storage to copy."""

    cache: Path
    storage: Path


def ensure_head_start(settings: StackSettings, report: Callable[[str], None]) -> None:
    """Make the head start for these settings unless it is there, as `make_head_start` does."""
    if settings.java is None and not is_settled(settings):
        from deploy.local.training import make_head_start

        make_head_start(settings, report)


def is_settled(settings: StackSettings) -> bool:
    """Tell whether the head start is there, or its making has failed not long ago."""
    folder = folder_of(settings)
    made = _read_made(folder) if folder else None
    if folder is None or made is None:
        return False
    return not made.problem or SystemClock().wall() - (folder / MADE).stat().st_mtime < _TRY_AGAIN_S


def find_head_start(settings: StackSettings) -> HeadStart | None:
    """Return the head start for the jars and the Java of these settings, verified. None if there is none.

    A damaged one counts as none from then on, so that the next start makes it anew. Nobody but its user may be able to
    change the folder of the jars, which `ensure_jars` checks.
    """
    folder = folder_of(settings)
    made = _read_made(folder) if folder else None
    if folder is None or made is None or not made.files:
        return None
    with ThreadPoolExecutor() as pool:
        digests = pool.map(digest, map(folder.__truediv__, made.files))
        if list(digests) == list(made.files.values()):
            return HeadStart(folder / CACHE, folder / STORAGE)
    with suppress(OSError):
        (folder / MADE).unlink()
    return None


def folder_of(settings: StackSettings) -> Path | None:
    """Return where the head start for these settings is, if it is made. None: there cannot be one.

    A JVM refuses a cache if a jar or its own files have changed, or only their times, so all of these count.
    """
    if settings.java is not None:
        return None
    home, jars = java(settings).parents[1], settings.jars.resolve()
    try:
        files = [_state_of(path) for path in (*map(jars.joinpath, _jars()), *map(home.joinpath, _OF_JAVA))]
    except OSError:  # the first start, which downloads the jars
        return None
    made_for = json.dumps([str(jars), JVM, files, [jar.sha256 for jar in read_lock()]])
    return jars / f"{PREFIX}{hashlib.sha256(made_for.encode()).hexdigest()[:16]}"


def _read_made(folder: Path) -> Made | None:
    """Return what a training has left in the folder. None: there was none, or it did not come to an end."""
    try:
        return msgspec.json.decode((folder / MADE).read_bytes(), type=Made)
    except (OSError, msgspec.MsgspecError):
        return None


def _jars() -> list[str]:
    return [jar.file for jar in read_lock()]


def _state_of(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return path.name, status.st_size, status.st_mtime_ns

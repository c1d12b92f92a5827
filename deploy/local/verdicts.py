"""The precision in which each network runs: found out by one stack that is thrown away, and kept for the next.

To find it out takes Triton a second for each network. A verdict names its network's file, the processor and OpenVINO
(`deploy/triton/backends/precision.py`), so it counts for nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cutstream.ownership import why_planted, why_shared
from cutstream.settings import Settings
from deploy.local.state import is_own_file, private_folder, write_anew

_KEPT = "kept"
_PLACE = Path("triton", "precision")
_MOST_BYTES = 65_536


@contextmanager
def kept_verdicts(settings: Settings, own: Settings) -> Iterator[None]:
    """Lend a run what is kept in the state folder, and keep there what the run has found out, unless it fails.

    `own` are the settings of the run, whose state folder is thrown away. Nothing is taken that other users could have
    put there. Raises StackError if they could change the folder.
    """
    kept, folder = settings.stack.state / _KEPT, own.stack.state / _PLACE
    if kept.is_dir() and not why_shared(kept) and not why_planted(kept):
        _copy(kept, folder)
    yield
    _copy(folder, kept)


def _copy(source: Path, target: Path) -> None:
    for name, verdict in _verdicts(source):
        if not (target / name).exists() or (target / name).read_text() != verdict:
            private_folder(target)
            write_anew(target / name, verdict)


def _verdicts(folder: Path) -> Iterator[tuple[str, str]]:
    for path in folder.glob("*.json"):
        with suppress(OSError, ValueError), open(path, opener=_without_links) as file:
            if is_own_file(os.fstat(file.fileno())):
                verdict = file.read(_MOST_BYTES)
                json.loads(verdict)
                yield path.name, verdict


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)

"""What a backend's process does about its own end, and about the memory that it shares with the server."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from cutstream.clock import Clock, SystemClock
from deploy.triton.backends import watchdog

YOUNG_S = 10.0
SHARED_MEMORY = Path("/dev/shm")
REGION = b"_shm_region_"


class Lifeline:
    """Has this process watched from outside (`watchdog.py`). Open it when the model is loaded."""

    def __init__(self) -> None:
        # The pipe ends with this process, however that ends. PATH leads to this interpreter, which has no executable.
        python = shutil.which("python3") or "python3"
        command = [python, "-I", "-S", watchdog.__file__, str(os.getppid())]
        self._watchdog = subprocess.Popen(command, stdin=subprocess.PIPE)

    def close(self) -> None:
        """Let this process end without the server, which unloads its model."""
        self._watchdog.communicate(watchdog.DONE)


def hide_memory() -> None:
    """Hide the memory that this process shares with its server, with the photos in it, from other users.

    Boost makes it readable for all by fchmod(2), whatever the umask says. The guard forbids that where the kernel can
    filter system calls (`deploy/local/guard.py`); elsewhere, who has opened it before this call keeps it.
    """
    for word in Path("/proc/self/cmdline").read_bytes().split(b"\0"):
        if REGION in word:
            (SHARED_MEMORY / os.fsdecode(word).lstrip("/")).chmod(0o600)


def remove_abandoned_memory(clock: Clock | None = None) -> None:
    """Remove the shared memory that killed servers of this user left behind."""
    used = set(_mapped_files())
    for region in SHARED_MEMORY.glob("triton_*_shm_region_*"):
        try:
            status = region.stat()
            young = (clock or SystemClock()).wall() - status.st_ctime < YOUNG_S  # its server may be about to map it
            if status.st_uid == os.getuid() and not young and str(region) not in used:
                region.unlink()
        except FileNotFoundError:
            pass  # another process was faster


def _mapped_files() -> Iterator[str]:
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            lines = maps.read_text(errors="replace").splitlines()
        except OSError:
            continue  # it has ended, or belongs to another user
        yield from (line.split(maxsplit=5)[5] for line in lines if str(SHARED_MEMORY) in line)

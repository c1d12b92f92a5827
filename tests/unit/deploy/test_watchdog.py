"""The watchdog beside a backend's process, with a process called `tritonserver` in the server's place."""

from __future__ import annotations

import mmap
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cutstream.clock import SystemClock
from deploy.triton.backends import lifeline, watchdog

# A backend: it starts its watchdog as Lifeline does, says so, and obeys its input.
BACKEND = """
import subprocess, sys
command = [sys.executable, "-I", "-S", sys.argv[1], sys.argv[2]]
watchdog = subprocess.Popen(command, stdin=subprocess.PIPE)
print("started", flush=True)
if sys.stdin.readline().strip() == "unload":
    watchdog.communicate(b"done")
"""


def start_server(folder: Path, name: str) -> subprocess.Popen[bytes]:
    program = folder / name
    shutil.copy(shutil.which("sleep") or "", program)
    return subprocess.Popen([program, "60"])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = start_server(tmp_path, "tritonserver")
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def backend(server: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[str]]:
    process = start_backend(server)
    yield process
    process.kill()
    process.communicate()


def start_backend(server: subprocess.Popen[bytes]) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BACKEND, watchdog.__file__, str(server.pid)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout
    assert process.stdout.readline() == "started\n"
    return process


def test_a_model_that_is_unloaded_leaves_the_server_alone(server, backend) -> None:
    backend.communicate("unload\n", timeout=10)
    time.sleep(3 * watchdog.TICK_S)
    assert server.poll() is None


@pytest.mark.parametrize("event", [signal.SIGKILL, signal.SIGSTOP])
def test_a_backend_that_dies_or_stands_still_ends_the_server(server, backend, event: signal.Signals) -> None:
    backend.send_signal(event)
    assert server.wait(timeout=10) == -signal.SIGKILL


def test_a_short_pause_does_no_harm(server, backend) -> None:
    backend.send_signal(signal.SIGSTOP)
    time.sleep(watchdog.MAX_PAUSE_S / 3)
    backend.send_signal(signal.SIGCONT)
    time.sleep(watchdog.MAX_PAUSE_S)
    assert server.poll() is None


def test_a_process_that_is_no_server_is_never_killed(tmp_path: Path) -> None:
    stranger = start_server(tmp_path, "stranger")
    backend = start_backend(stranger)
    backend.kill()
    backend.communicate()
    time.sleep(3 * watchdog.TICK_S)
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


class Later(SystemClock):
    """A clock that is a minute ahead."""

    def wall(self) -> float:
        return super().wall() + 60


def test_only_memory_that_nobody_uses_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifeline, "SHARED_MEMORY", tmp_path)
    regions = {name: tmp_path / f"triton_openvino_backend_shm_region_{name}" for name in ("used", "abandoned")}
    other = tmp_path / "something_else"
    for path in (*regions.values(), other):
        path.write_bytes(b"0" * mmap.PAGESIZE)
    with regions["used"].open("r+b") as file, mmap.mmap(file.fileno(), 0):
        lifeline.remove_abandoned_memory()
        assert regions["abandoned"].exists()  # it is young: its server may be about to map it
        lifeline.remove_abandoned_memory(Later())
    assert sorted(os.listdir(tmp_path)) == sorted([regions["used"].name, other.name])

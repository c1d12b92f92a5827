"""`cutstream top` as a process, on a terminal and without one."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from commands.top import worker_addresses
from consumer.health import HealthServer
from cutstream.errors import InvalidOption
from cutstream.metrics import Metrics
from cutstream.settings import Settings, WorkerSettings

ROOT = Path(__file__).parents[3]
TOKEN = "0123456789abcdef"
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("CUTSTREAM_")},
    "TERM": "xterm-256color",
    "CUTSTREAM_WORKER__METRICS_TOKEN": TOKEN,
    "COLUMNS": "80",
    "LINES": "24",
}


@pytest.fixture
def worker() -> Iterator[str]:
    metrics = Metrics()
    metrics.requests.labels("fast", "failed", "x\x1b]0;owned\x07").inc(2)
    server = HealthServer("127.0.0.1", 0, metrics, dict, dict, WorkerSettings(metrics_token=TOKEN).metrics_token)
    yield server.start().removeprefix("http://")
    server.close()


class Terminal:
    def __init__(self, worker: str, **environment: str) -> None:
        self.main, self.side = pty.openpty()
        self.before = termios.tcgetattr(self.side)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "commands", "top", worker, "127.0.0.1:1"],
            cwd=ROOT,
            env={**ENVIRONMENT, **environment},
            stdin=self.side,
            stdout=self.side,
            stderr=self.side,
        )
        self.text = ""

    def read_until(self, wanted: str, timeout_s: float = 60) -> None:
        until = time.monotonic() + timeout_s
        while wanted not in self.text:
            assert time.monotonic() < until, self.text
            if select.select([self.main], [], [], 0.2)[0]:
                self.text += os.read(self.main, 65_536).decode()


@contextmanager
def terminal(worker: str, **environment: str) -> Iterator[Terminal]:
    opened = Terminal(worker, **environment)
    try:
        yield opened
    finally:
        opened.process.kill()
        opened.process.wait()
        os.close(opened.main)
        os.close(opened.side)


@pytest.mark.parametrize("end", ["q", "Ctrl-C"])
def test_a_key_ends_it_with_success_and_leaves_the_terminal_as_it_was(worker: str, end: str) -> None:
    with terminal(worker) as shown:
        shown.read_until("away: Connection refused")
        shown.read_until("x\\u001b]0;owned\\u0007")
        if end == "q":
            os.write(shown.main, b"q")
        else:
            shown.process.send_signal(signal.SIGINT)
        assert shown.process.wait(30) == 0
        shown.read_until("\x1b[?1049l")
        assert "\x1b[?25h" in shown.text, "the cursor is shown again"
        assert "\x1b]0;" not in shown.text
        assert "\x1b[1;32m" in shown.text
        assert termios.tcgetattr(shown.side) == shown.before


def test_there_are_no_colours_if_the_user_wants_none(worker: str) -> None:
    with terminal(worker, NO_COLOR="1") as shown:
        shown.read_until("away: Connection refused")
        assert "\x1b[1;32m" not in shown.text
        assert "\x1b[32m" not in shown.text


def test_without_a_terminal_it_prints_a_line_a_second_until_it_is_ended(worker: str) -> None:
    command = [sys.executable, "-m", "commands", "top", worker]
    with subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert all(line.startswith("workers=1/1 ") and "failed=2" in line for line in lines), lines


def test_once_prints_one_line_and_fails_if_no_worker_answers(worker: str) -> None:
    def once(address: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "commands", "top", address, "--once"]
        return subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)

    done = once(worker)
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 1, "")
    assert " rate=0.0/s " in done.stdout
    assert (away := once("127.0.0.1:1")).returncode == 1
    assert "[127.0.0.1:1 away: Connection refused]" in away.stdout


def test_addresses_may_be_those_that_up_prints() -> None:
    settings = Settings(worker=WorkerSettings(port=9200))
    assert worker_addresses([], settings) == ["127.0.0.1:9200"]
    assert worker_addresses(["http://a:1/metrics", "a:1", "[::1]:2"], settings) == ["a:1", "[::1]:2"]


@pytest.mark.parametrize("address", ["worker", "a:0", "https://a:1", "a:1/x", "user@a:1", ""])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidOption, match="write HOST:PORT"):
        worker_addresses([address], Settings())


def test_a_worker_on_any_free_port_must_be_named() -> None:
    with pytest.raises(InvalidOption, match="name the worker's address"):
        worker_addresses([], Settings(worker=WorkerSettings(port=0)))

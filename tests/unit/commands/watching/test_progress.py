from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from commands.watching import progress as module
from commands.watching.progress import progress, shown_progress
from consumer.health import HealthServer
from cutstream.exposition import read_exposition
from cutstream.metrics import Metrics
from cutstream.watching.scraping import Observed, Scrape
from cutstream.watching.view import View, view_of

ROOT = Path(__file__).parents[4]


@pytest.fixture
def metrics() -> Metrics:
    metrics = Metrics()
    metrics.requests.labels("fast", "ok", "").inc(1234)
    metrics.lag.labels("cutout.requests", "0").set(87)
    metrics.in_flight.set(10)
    metrics.uncommitted.set(2)
    return metrics


@pytest.fixture
def worker(metrics: Metrics) -> Iterator[str]:
    server = HealthServer("127.0.0.1", 0, metrics, dict, dict)
    yield server.start().removeprefix("http://")
    server.close()


def view(metrics: Metrics, change: Callable[[Metrics], object]) -> View:
    earlier = Scrape(1.0, read_exposition(metrics.exposition()[1].decode()))
    change(metrics)
    later = Scrape(11.0, read_exposition(metrics.exposition()[1].decode()))
    return view_of([Observed("a:1", earlier, later)])


def test_the_line_says_what_is_done_and_left(metrics: Metrics) -> None:
    ten_more = view(metrics, lambda m: m.requests.labels("fast", "ok", "").inc(10))
    assert progress(ten_more, stopping=False) == "1,244 done, 0 failed, 1.0/s, 87 left"
    assert progress(ten_more, stopping=True) == "stopping, 12 left"


def test_it_says_what_failed_and_what_keeps_the_worker_from_work(metrics: Metrics) -> None:
    def hinder(m: Metrics) -> None:
        m.requests.labels("fast", "failed", "image_not_found").inc(5)
        m.requests.labels("fast", "expired", "expired").inc(1)
        m.ready.labels("triton").set(0)

    hindered = view(metrics, hinder)
    assert progress(hindered, False) == "1,234 done, 5 failed, 1 expired, 0.6/s, 87 left, not ready: triton"


def test_what_is_left_is_not_known_without_the_group_and_retries_are_told_apart(metrics: Metrics) -> None:
    metrics.lag.labels("cutout.requests.retry", "0").set(2)
    assert progress(view(metrics, lambda m: None), False).endswith(", 87 left, 2 retried later")
    away = view(metrics, lambda m: m.ready.labels("broker").set(0))
    assert progress(away, False) == "1,234 done, 0 failed, 0.0/s, – left, not ready: broker"


def test_a_worker_that_is_away_is_told_and_one_that_has_stopped_has_nothing_left() -> None:
    away = view_of([Observed("a:1", None, Scrape(1.0, problem="away: Connection refused"))])
    assert progress(away, stopping=False) == "the worker away: Connection refused"
    assert progress(away, stopping=True) == "stopping"


def test_without_a_terminal_changes_are_said_now_and_then(
    monkeypatch: pytest.MonkeyPatch, worker: str, metrics: Metrics
) -> None:
    said: list[str] = []
    monkeypatch.setattr(module, "say", said.append)
    monkeypatch.setattr(module, "_LOGGED_EVERY_S", 0.05)
    monkeypatch.setattr(module, "_LEFT_EVERY_S", 0.05)

    def wait_for(text: str) -> None:
        until = time.monotonic() + 30
        while not any(text in line for line in said):
            assert time.monotonic() < until, said
            time.sleep(0.02)

    stopping = threading.Event()
    with shown_progress(worker, None, stopping):
        wait_for("1,234 done, 0 failed, 0.0/s, 87 left")
        stopping.set()
        wait_for("stopping, 12 left")
        metrics.in_flight.set(0)
        wait_for("stopping, 2 left")
    assert len(said) == len(set(said)), "nothing is said twice in a row"


SCRIPT = """
import sys, threading, time
from commands.console import say
from commands.watching.progress import shown_progress
stopping = threading.Event()
with shown_progress(sys.argv[1], None, stopping):
    time.sleep(1.5)
    say("kafka is ready again")
    stopping.set()
    time.sleep(1.5)
print("Stopped.")
"""


def test_on_a_terminal_a_line_changes_below_what_is_said(worker: str) -> None:
    main, side = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"}
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, worker], cwd=ROOT, env=environment, stdin=side, stdout=side, stderr=side
    ) as process:
        text = ""
        while process.poll() is None or select.select([main], [], [], 0)[0]:
            if select.select([main], [], [], 0.1)[0]:
                text += os.read(main, 65_536).decode()
    os.close(main)
    os.close(side)
    assert process.returncode == 0
    ends = [text.index(part) for part in ("1,234 done", "kafka is ready again", "stopping, 12 left", "Stopped.")]
    assert ends == sorted(ends), text
    last = text[text.rindex("12 left") : text.index("Stopped.")]
    assert "\x1b[2K" in last, "the line is taken away at the end"

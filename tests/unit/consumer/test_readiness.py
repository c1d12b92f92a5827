"""Readiness, check by check, with parts that are set by hand."""

from __future__ import annotations

import threading
from math import isnan
from types import SimpleNamespace
from typing import Any

import pytest

from consumer.readiness import Readiness
from consumer.resources.waits import GRACE_S, Waits
from cutstream.clock import ManualClock
from cutstream.errors import PoisonLimit
from cutstream.metrics import Metrics


class Parts:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.heartbeat_age_s = 0.0
        self.loop: Any = SimpleNamespace(
            halting=None, joined=True, commits=True, seconds_since_heartbeat=lambda: self.heartbeat_age_s
        )
        self.waits = Waits(self.clock)
        self.read = True
        self.broker: Any = SimpleNamespace(ok=True)
        self.triton: Any = SimpleNamespace(ok=True)
        self.stopping = threading.Event()
        self.readiness = Readiness(
            self.loop,
            self.waits,
            {"backgrounds": lambda: self.read},
            broker=self.broker,
            triton=self.triton,
            stopping=self.stopping,
            heartbeat_s=30.0,
        )

    def false(self) -> set[str]:
        return {name for name, value in self.readiness.checks().items() if not value}


@pytest.fixture
def parts() -> Parts:
    parts = Parts()
    assert parts.false() == set()
    return parts


def test_each_part_makes_its_own_check_false(parts: Parts) -> None:
    parts.triton.ok = False
    assert parts.false() == {"triton"}
    parts.broker.ok = False
    parts.read = False
    assert parts.false() == {"triton", "broker", "backgrounds"}


def test_refused_transactions_are_the_brokers_fault(parts: Parts) -> None:
    parts.loop.commits = False
    assert parts.false() == {"broker"}


def test_a_worker_that_stops_or_whose_loop_stands_still_neither_runs_nor_is_in_its_group(parts: Parts) -> None:
    parts.heartbeat_age_s = 31.0
    assert parts.false() == {"running", "group"}
    assert parts.readiness.alive() == {"loop": False}
    parts.heartbeat_age_s = 0.0
    parts.stopping.set()
    assert parts.false() == {"running", "group"}
    assert parts.readiness.alive() == {"loop": True}


@pytest.mark.parametrize(
    ("reason", "check"),
    [
        ("triton_unavailable", "triton"),
        ("wrong_answer", "triton"),
        ("model_reloaded", "triton"),
        ("store_unavailable", "store"),
        ("device_out_of_memory", "memory"),
        ("backgrounds_full", "memory"),
    ],
)
def test_photos_that_wait_for_long_make_a_check_false(parts: Parts, reason: str, check: str) -> None:
    with parts.waits.in_stage("stage") as wait:
        wait.begin(reason)
        assert parts.false() == set()
        parts.clock.sleep(GRACE_S)
        assert parts.false() == {check}
    assert parts.false() == set()


def test_a_source_that_is_away_is_not_the_workers_fault(parts: Parts) -> None:
    with parts.waits.in_stage("fetch") as wait:
        wait.begin("failed_image_download")
        parts.clock.sleep(GRACE_S)
        assert parts.false() == set()


def test_a_halted_worker_says_why_and_nothing_that_it_does_not_know(parts: Parts) -> None:
    metrics = Metrics()
    parts.readiness.observe(metrics)
    parts.loop.halting = PoisonLimit("no folder is allowed")
    assert parts.readiness.answer() == {
        "running": False,
        "halted": {"code": "poison_limit", "message": "no folder is allowed"},
    }
    values = {
        check: metrics.registry.get_sample_value("cutstream_ready", {"check": check}) for check in ("running", "triton")
    }
    assert values["running"] == 0
    assert isnan(values["triton"] or 0)

"""A probe's answer is there at once, whatever the server does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from consumer.resources.probe import Probe
from cutstream.clock import ManualClock
from cutstream.errors import BrokerUnavailable
from tests.support.group import wait_until


def started(ask: Callable[[], bool], monkeypatch: pytest.MonkeyPatch) -> tuple[Probe, ManualClock]:
    monkeypatch.setattr("consumer.resources.probe._INTERVAL_S", 0.005)
    clock = ManualClock()
    probe = Probe("server", ask, clock)
    assert not probe.ok
    probe.start()
    return probe, clock


def test_the_answer_follows_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[bool | Exception] = [True]

    def ask() -> bool:
        if isinstance(answers[-1], Exception):
            raise answers[-1]
        return answers[-1]

    probe, _ = started(ask, monkeypatch)
    wait_until(lambda: probe.ok, "never ok")
    for away in (False, BrokerUnavailable("away")):
        answers.append(away)
        wait_until(lambda: not probe.ok, "never away")
        answers.append(True)
        wait_until(lambda: probe.ok, "never ok again")
    probe.close()


def test_a_server_that_never_answers_is_away_and_nobody_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen, asked = threading.Event(), threading.Event()

    def ask() -> bool:
        if frozen.is_set():
            asked.set()
            frozen.wait()
            time.sleep(30)
        return True

    probe, clock = started(ask, monkeypatch)
    wait_until(lambda: probe.ok, "never ok")
    frozen.set()
    assert asked.wait(5)
    clock.sleep(10)
    assert not probe.ok


@pytest.mark.logs_errors
def test_a_bug_in_the_question_is_logged_once_and_counts_as_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[None] = []

    def ask() -> bool:
        calls.append(None)
        raise KeyError("bug")

    probe, _ = started(ask, monkeypatch)
    wait_until(lambda: len(calls) > 3, "it asks only once")
    probe.close()
    assert not probe.ok
    assert [record.getMessage() for record in caplog.records] == ["probe of server failed"]


def test_a_server_that_is_about_to_start_is_asked_soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumer.resources.probe._INTERVAL_S", 3600)
    answers = [True, False, False]
    probe = Probe("server", lambda: answers.pop() if answers else True, ManualClock())
    probe.start()
    wait_until(lambda: probe.ok, "never ok")
    probe.close()

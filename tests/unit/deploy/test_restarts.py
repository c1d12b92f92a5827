"""The restarts of dead servers, with small shells in place of servers and a clock that the tests advance."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cutstream.clock import ManualClock
from cutstream.errors import StackError
from deploy.local.logs import last_words
from deploy.local.process import ServerSpec, Supervisor
from deploy.local.restarts import CHECK_S, LONGEST_PAUSE_S, MAX_DEATHS, SILENCE_S, STEADY_S, Restarter
from tests.unit.deploy.test_supervisor import descendants, shell, wait_until


class Stack:
    """A supervisor with its restarter, and what the restarter has said."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.supervisor = Supervisor(10)
        self.said: list[str] = []
        self.restarter = Restarter(self.supervisor, self.said.append, self.clock)

    def kill(self, name: str = "shell", number: signal.Signals = signal.SIGKILL) -> None:
        os.kill(descendants(self.supervisor.pid(name))[0].pid, number)
        self.wait_for_end(name)

    def wait_for_end(self, name: str = "shell") -> None:
        assert wait_until(lambda: self.supervisor.exit_code(name) is not None)

    def check(self, after_s: float = 0.0) -> list[str]:
        """Return what is said at a check so many seconds later."""
        self.clock.sleep(after_s)
        before = len(self.said)
        self.restarter.check()
        return self.said[before:]

    def runs(self, name: str = "shell") -> bool:
        return self.supervisor.exit_code(name) is None

    def come_up(self) -> list[str]:
        """Check until the server that is due is ready again."""
        said: list[str] = []
        assert wait_until(lambda: bool(said.extend(self.check(0.01)) or said))
        return said


@pytest.fixture
def stack() -> Iterator[Stack]:
    stack = Stack()
    with stack.supervisor:
        yield stack


def test_a_dead_server_is_said_at_once_and_started_again(stack: Stack, tmp_path: Path) -> None:
    stack.supervisor.start(shell(tmp_path, "seq 9; echo up; exec sleep 97"))
    assert stack.check() == []
    stack.kill()
    (said,) = stack.check()
    assert said.splitlines() == [
        "shell was ended by SIGKILL. It is started again in 0.5 s.",
        "    up",
    ]
    assert stack.check(0.4) == []
    assert not stack.runs()
    assert stack.check(0.2) == []
    assert stack.runs()
    (again,) = stack.come_up()
    assert again.startswith("shell is ready again, ")
    assert [server.name for server in stack.supervisor.servers] == ["shell"]


def test_the_others_go_on_meanwhile_and_the_order_of_stopping_stays(stack: Stack, tmp_path: Path) -> None:
    order = tmp_path / "order"
    script = f"trap 'sleep 0.1; echo {{}} >> {order}; exit' TERM; echo up; while :; do sleep 0.02; done"
    stack.supervisor.start(shell(tmp_path, script.format("broker"), "broker"))
    stack.supervisor.start(shell(tmp_path, script.format("worker"), "worker"))
    stack.check()
    worker = stack.supervisor.pid("worker")
    stack.kill("broker")
    stack.check()
    stack.check(1)
    stack.come_up()
    assert stack.supervisor.pid("worker") == worker
    stack.supervisor.stop()
    assert order.read_text().split() == ["worker", "broker"]


def pauses(stack: Stack, deaths: int) -> list[float]:
    """Kill the server so many times, each time as soon as it is ready. Return the pauses."""
    seen = []
    for _ in range(deaths):
        stack.kill()
        (said,) = stack.check()
        seen.append(float(said.partition(" again in ")[2].partition(" s")[0]))
        stack.check(seen[-1])
        stack.come_up()
    return seen


def test_pauses_grow_and_are_short_again_once_it_was_ready_for_a_while(stack: Stack, tmp_path: Path) -> None:
    stack.supervisor.start(shell(tmp_path, "echo up; exec sleep 97"))
    stack.check()
    stack.check(STEADY_S)
    assert pauses(stack, 4) == [0.5, 1.0, 2.0, 4.0]
    stack.check(STEADY_S)
    assert pauses(stack, 2) == [0.5, 1.0]
    assert LONGEST_PAUSE_S > 4


def test_after_many_deaths_in_a_row_it_gives_up_with_the_reason_last(stack: Stack, tmp_path: Path) -> None:
    server = shell(tmp_path, "echo up; echo disk error; sleep 97")
    stack.supervisor.start(server)
    stack.check()
    pauses(stack, MAX_DEATHS - 1)
    stack.kill()
    with pytest.raises(StackError) as given_up:
        stack.check()
    assert str(given_up.value).splitlines() == [
        f"the end of {server.log}:",
        "    disk error",
        f"shell was ended by SIGKILL. It has ended {MAX_DEATHS} times in a row, each time less than {STEADY_S:g} s "
        "after it was ready, so it is not started again, and all of the stack has been stopped. "
        f"Its log is {server.log}: mend what it names, and start the stack again",
    ]


def test_one_that_asks_for_an_operator_is_not_started_again(stack: Stack, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    script = f"echo up; until [ -e {stop} ]; do sleep 0.01; done; echo configuration: no such folder; exit 78"
    stack.supervisor.start(shell(tmp_path, script, "worker"))
    stack.check()
    stop.touch()
    stack.wait_for_end("worker")
    with pytest.raises(StackError) as refused:
        stack.check()
    assert str(refused.value) == (
        "worker ended with status 78: it needs you, so it is not started again, and all of the stack has been stopped. "
        "configuration: no such folder"
    )


def test_one_that_no_longer_answers_is_said_once_and_left_alone(stack: Stack, tmp_path: Path) -> None:
    answers = [True]
    server = replace(shell(tmp_path, "echo up; exec sleep 97"), answers=lambda: answers[0])
    stack.supervisor.start(server)
    stack.check()
    pid = stack.supervisor.pid("shell")
    answers[0] = False
    silences = [said for _ in range(10) for said in stack.check(CHECK_S)]
    assert silences == [f"shell has not answered for {CHECK_S * 3:.0f} s; see {server.log}."]
    assert CHECK_S * 2 < SILENCE_S <= CHECK_S * 3
    answers[0] = True
    assert stack.check(CHECK_S) == [f"shell answers again, after {CHECK_S * 11:.0f} s."]
    assert stack.supervisor.pid("shell") == pid


def test_one_that_is_started_again_but_does_not_become_ready_is_said_once(stack: Stack, tmp_path: Path) -> None:
    up_once = tmp_path / "up-once"
    stack.supervisor.start(shell(tmp_path, f"[ -e {up_once} ] || echo up; touch {up_once}; exec sleep 97"))
    stack.check()
    stack.kill()
    stack.check()
    said = [line for _ in range(5) for line in stack.check(4)]
    assert len(said) == 1
    assert said[0].startswith("shell has not answered for 12 s")


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("I1126 loaded\nE1126 no such model\nI1126 going down\n", ["E1126 no such model"]),
        ('{"level": "error", "event": "lost the device"}\n', ["error: lost the device"]),
        ("one\n\ntwo\n", ["two"]),
        (f"error {'x' * 1000}", [f"error {'x' * 154}"]),
        ("", []),
    ],
)
def test_the_last_words_are_those_that_tell_of_an_error(tmp_path: Path, log: str, told: list[str]) -> None:
    (tmp_path / "log").write_text(log)
    assert last_words(tmp_path / "log") == told


def test_a_log_that_has_gone_hides_no_death(stack: Stack, tmp_path: Path) -> None:
    server: ServerSpec = shell(tmp_path, "echo up; exec sleep 97")
    stack.supervisor.start(server)
    stack.check()
    server.log.unlink()
    stack.kill()
    (said,) = stack.check()
    assert said.startswith("shell was ended by SIGKILL")
    assert "cannot be read: No such file" in said


def test_a_server_that_halts_is_said_once_and_left_alone(stack: Stack, tmp_path: Path) -> None:
    reasons: list[str | None] = [None]
    stack.supervisor.start(shell(tmp_path, "echo up; exec sleep 97", halted=lambda: reasons[-1]))
    assert stack.check() == []
    reasons.append("poison_limit: no folder is allowed")
    assert stack.check(CHECK_S) == ["shell has halted and waits for you. poison_limit: no folder is allowed"]
    assert stack.restarter.halted == reasons[-1]
    assert stack.check(CHECK_S) == []
    assert stack.runs()
    stack.kill()
    stack.check()
    reasons.append(None)
    stack.check(1)
    stack.come_up()
    assert stack.restarter.halted is None

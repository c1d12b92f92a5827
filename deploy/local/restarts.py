"""Start dead servers again, with growing pauses between attempts, and say at once what happened."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass

from cutstream.clock import Clock, SystemClock
from cutstream.errors import OPERATOR_NEEDED, StackError
from deploy.local.logs import last_words
from deploy.local.process import ServerSpec, Supervisor

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0
STEADY_S = 15.0  # a server that was ready for this long starts anew with the shortest pause
MAX_DEATHS = 6  # in a row, each before it was ready for STEADY_S
CHECK_S, SILENCE_S = 2.0, 5.0
_ENDED = "it is not started again, and all of the stack has been stopped"


@dataclass
class _History:
    """What is known about one server. Times are seconds of the monotonic clock."""

    ready_since: float | None  # None from its death until it is ready again
    started: float
    deaths: int = 0
    restart_at: float | None = None
    last_check: float = 0.0
    last_answer: float = 0.0
    silent: bool = False
    halted: str | None = None


class Restarter:
    """Watches the servers of a supervisor. Call `check` about twice a second; one thread uses it.

    `report` receives one message for each death, recovery and silence. A server that does not answer is reported and
    left alone: it may be slow, or stopped by a debugger, and killing it would destroy what explains it. One that has
    halted is reported and left to the person who reads that.
    """

    def __init__(self, supervisor: Supervisor, report: Callable[[str], None], clock: Clock | None = None) -> None:
        self._supervisor = supervisor
        self._report = report
        self._clock = clock or SystemClock()
        self._histories: dict[str, _History] = {}

    def check(self) -> None:
        """Start what has died and is due, and report changes. It takes about a second for a server that is frozen.

        Raises StackError when a server cannot be helped by another start.
        """
        for server in self._supervisor.servers:
            now = self._clock.monotonic()
            history = self._histories.setdefault(server.name, _History(now, now, last_check=now, last_answer=now))
            if history.restart_at is not None:
                if now >= history.restart_at:
                    self._start_again(server, history)
            elif (code := self._supervisor.exit_code(server.name)) is not None:
                self._handle_death(server, history, code)
            elif now - history.last_check >= (CHECK_S if history.ready_since else 0):
                history.last_check = now
                self._check_health(server, history)

    @property
    def halted(self) -> str | None:
        """Why a server has halted, if one has, as of the last check."""
        return next((history.halted for history in self._histories.values() if history.halted), None)

    def _start_again(self, server: ServerSpec, history: _History) -> None:
        self._supervisor.restart(server.name)
        history.started = history.last_answer = self._clock.monotonic()
        history.restart_at, history.silent, history.halted = None, False, None

    def _handle_death(self, server: ServerSpec, history: _History, code: int) -> None:
        now = self._clock.monotonic()
        steady = history.ready_since is not None and now - history.ready_since >= STEADY_S
        history.deaths = 1 if steady else history.deaths + 1
        history.ready_since = None
        end = describe_end(code)
        if code == OPERATOR_NEEDED:
            raise StackError(f"{server.name} {end}: it needs you, so {_ENDED}. {_last_line(server)}")
        if history.deaths >= MAX_DEATHS:
            lines = "".join(f"\n    {line}" for line in last_words(server.log))
            raise StackError(
                f"the end of {server.log}:{lines}\n{server.name} {end}. It has ended {history.deaths} times in a row, "
                f"each time less than {STEADY_S:g} s after it was ready, so {_ENDED}. Its log is {server.log}: "
                "mend what it names, and start the stack again"
            )
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (history.deaths - 1))
        history.restart_at = now + pause
        lines = "".join(f"\n    {line}" for line in last_words(server.log))
        self._report(f"{server.name} {end}. It is started again in {pause:g} s.{lines}")

    def _check_health(self, server: ServerSpec, history: _History) -> None:
        answers = server.answers if history.ready_since is not None and server.answers else server.ready
        answered = answers()
        now = self._clock.monotonic()
        if not answered:
            patience = SILENCE_S if history.ready_since is not None else self._supervisor.start_timeout_s
            if not history.silent and now - history.last_answer >= patience:
                history.silent = True
                self._report(f"{server.name} has not answered for {now - history.last_answer:.0f} s; see {server.log}.")
            return
        if history.ready_since is None:
            history.ready_since = now
            self._report(f"{server.name} is ready again, {now - history.started:.1f} s after its start.")
        elif history.silent:
            self._report(f"{server.name} answers again, after {now - history.last_answer:.0f} s.")
        history.last_answer, history.silent = now, False
        if (halted := server.halted()) != history.halted:
            history.halted = halted
            if halted:
                self._report(f"{server.name} has halted and waits for you. {halted}")


def describe_end(code: int) -> str:
    """Say how a process ended, by its exit status as a shell reports it."""
    try:
        return f"was ended by {signal.Signals(code - 128).name}"
    except ValueError:
        return f"ended with status {code}"


def _last_line(server: ServerSpec) -> str:
    return (last_words(server.log) or [f"See {server.log}"])[-1]

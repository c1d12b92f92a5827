"""A run: first without faults, then with them, and then the proof."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.chaos.checker import Evidence, Violation, check
from tests.e2e.chaos.collect import collect_evidence
from tests.e2e.chaos.faults import available, begin
from tests.e2e.chaos.observer import Observer
from tests.e2e.chaos.progress import Idle, Interval, first_after, longest_idle, rate, recovered_after
from tests.e2e.chaos.schedule import KINDS, WATCH_S, Round, draw_schedule
from tests.e2e.chaos.sender import Sender
from tests.e2e.chaos.stack import ChaosStack, chaos_stack
from tests.e2e.chaos.workload import chaos_requests, quiet_requests

PROGRESS_S = 30.0
STALL_S = 60.0
RECOVERY_S = 15.0
FULL_SPEED = 1000.0
RATE_BEFORE_S = 5.0
LONGER = 2.0  # rounds last longer than planned, and there have to be requests in the last one, too


@dataclass(frozen=True)
class Options:
    requests: int
    seed: int
    faults: int
    photos: int = 24
    workers: int = 2
    kinds: Sequence[str] = KINDS
    watch_s: tuple[float, float] = WATCH_S  # the shortest and the longest time without faults after each


@dataclass
class FaultLine:
    """What a fault did. Times are seconds since the run began, or since the end of the fault."""

    kind: str
    target: str
    began_s: float
    ended_s: float
    first_result_s: float | None = None
    recovered_s: float | None = None
    rate_before: float = 0.0


@dataclass
class Outcome:
    options: Options
    evidence: Evidence
    violations: list[Violation]
    faults: list[FaultLine]
    rounds: list[Round]
    idle: list[Idle]
    missing: dict[str, str]
    seconds: float
    sent: int
    notes: list[str] = field(default_factory=list)


def run_chaos(options: Options, folder: Path, tools: Path, jars: Path) -> Outcome:
    """Run the stack under faults and return what it came to. The folder keeps the logs."""
    with chaos_stack(folder, options.requests, options.photos, tools, jars) as stack:
        return _Run(options, stack).run()


class _Run:
    def __init__(self, options: Options, stack: ChaosStack) -> None:
        self._options = options
        self._stack = stack
        self._observer = Observer(stack.settings.kafka)
        self._sender = Sender(stack.settings.kafka)
        self._violations: list[Violation] = []
        self._lines: list[FaultLine] = []
        self._intervals: list[Interval] = []

    def run(self) -> Outcome:
        options, stack = self._options, self._stack
        rounds = draw_schedule(options.faults, options.seed, _kinds(options, stack), options.watch_s)
        quiet = quiet_requests(stack.photos, stack.places)
        chaos = chaos_requests(options.requests, options.seed, stack.photos, stack.places, len(quiet))
        with ExitStack() as watching:
            for number in range(options.workers):
                stack.start_worker(f"worker-{number}")
            for worker in stack.workers.values():
                worker.wait_ready()
            watching.enter_context(self._observer)
            watching.enter_context(self._sender)
            self._sender.rate = FULL_SPEED
            self._sender.add(quiet)
            self._drain("the quiet run")
            began = time.monotonic()
            self._sender.rate = 0.0
            self._sender.add(chaos)
            for number, round_ in enumerate(rounds):
                left_s = sum(later.planned_s for later in rounds[number:])
                self._sender.rate = self._sender.left / (left_s * LONGER)
                self._run_round(round_)
            self._sender.rate = FULL_SPEED
            self._drain("the end")
            seconds = time.monotonic() - began
        planned = {request.number: request for request in (*quiet, *chaos)}
        evidence = collect_evidence(stack, planned, [request.number for request in quiet])
        return self._outcome(evidence, rounds, began, seconds)

    def _drain(self, where: str) -> None:
        """Wait until everything sent has its result."""
        self._observer.wait(lambda: self._sender.left == 0, STALL_S, self._stack.revive)
        if not self._observer.wait_done(lambda: self._sender.sent, STALL_S, self._stack.revive):
            self._note_stall(f"{where}: no result for {STALL_S:g} s")

    def _run_round(self, round_: Round) -> None:
        """Begin the round's faults one after the other, hold them, end them, and wait for progress."""
        opened: list[tuple[FaultLine, ExitStack]] = []
        for fault in round_.faults:
            line = FaultLine(fault.kind, "", time.monotonic(), 0.0)
            line.rate_before = self._rate_before(opened, line.began_s)
            harm = ExitStack()
            line.target = harm.enter_context(begin(self._stack, fault))
            opened.append((line, harm))
            self._watch(fault.hold_s)
        for line, harm in opened:
            harm.close()
            line.ended_s = time.monotonic()
            self._lines.append(line)
            self._intervals.append(Interval(line.began_s, line.ended_s))
        ended_s = opened[-1][0].ended_s
        self._await_progress(ended_s)
        self._watch(round_.watch_s)
        self._await_recovery(ended_s, opened[0][0].rate_before)

    def _rate_before(self, opened: list[tuple[FaultLine, ExitStack]], now_s: float) -> float:
        if opened:  # the first fault of the round is under way already
            return opened[0][0].rate_before
        # Not more than what arrives, because more is done only while there is a backlog.
        return min(self._sender.rate, rate(self._observer.arrivals_s, now_s - RATE_BEFORE_S, now_s))

    def _watch(self, seconds: float) -> None:
        self._observer.wait(lambda: False, seconds, self._stack.revive)

    def _await_progress(self, ended_s: float) -> None:
        sent, observer = self._sender, self._observer

        def progress() -> bool:
            return observer.arrived_between(ended_s, time.monotonic()) > 0 or observer.done >= sent.sent

        if not observer.wait(progress, PROGRESS_S, self._stack.revive):
            self._note_stall(f"after {self._lines[-1].kind}: no result for {PROGRESS_S:g} s")

    def _await_recovery(self, ended_s: float, full_rate: float) -> None:
        """Let no next fault begin before the rate is what it was, unless that takes too long."""
        arrivals = self._observer.arrivals_s

        def recovered() -> bool:
            return recovered_after(list(arrivals), ended_s, full_rate) is not None

        self._observer.wait(recovered, max(0.0, ended_s + RECOVERY_S - time.monotonic()), self._stack.revive)

    def _note_stall(self, what: str) -> None:
        last = self._observer.samples[-1].lags if self._observer.samples else {}
        behind = [
            f"{partition.topic}-{partition.number}: {lag.committed} of {lag.end}"
            for partition, lag in last.items()
            if lag.committed < lag.end
        ]
        left = self._sender.sent - self._observer.done
        for worker in self._stack.workers.values():
            worker.signal(signal.SIGQUIT)
        self._violations.append(Violation("stuck", f"{what}, {left} without a result; {', '.join(behind)}"))

    def _outcome(self, evidence: Evidence, rounds: list[Round], began: float, seconds: float) -> Outcome:
        arrivals = self._observer.arrivals_s
        for line in self._lines:
            line.first_result_s = first_after(arrivals, line.ended_s)
            line.recovered_s = recovered_after(arrivals, line.ended_s, line.rate_before)
            line.began_s, line.ended_s = line.began_s - began, line.ended_s - began
        idle = longest_idle(self._observer.samples, self._intervals, self._stack.settings.kafka.retry_topic)
        stranded = [
            Violation("idle", f"{i.partition}: nothing for {i.idle_s:.0f} s at {i.committed} of {i.end}")
            for i in idle
            if i.idle_s > PROGRESS_S
        ]
        deaths = [
            Violation("died", f"{death.name} at {death.at_s - began:.0f} s:\n{death.log}")
            for death in self._stack.deaths
        ]
        unsent = [Violation("not sent", failure) for failure in self._sender.failures]
        return Outcome(
            options=self._options,
            evidence=evidence,
            violations=[*check(evidence), *self._violations, *stranded, *deaths, *unsent],
            faults=self._lines,
            rounds=rounds,
            idle=idle,
            missing=self._stack.missing,
            seconds=seconds,
            sent=self._sender.sent,
            notes=self._stack.reports,
        )


def _kinds(options: Options, stack: ChaosStack) -> tuple[str, ...]:
    return tuple(kind for kind in options.kinds if kind in available(stack))

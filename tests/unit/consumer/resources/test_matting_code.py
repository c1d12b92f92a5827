"""PyMatting is compiled beside the worker, once, and whoever needs it waits without a slot."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from consumer.jobs import Progress
from consumer.resources.matting_code import MattingCode
from consumer.resources.memory_budget import MemoryBudget
from consumer.resources.priority_semaphore import PrioritySemaphore
from consumer.resources.waits import Waits
from consumer.runner import Pipeline, Runner, Stage
from consumer.stages.refine import Refine
from cutstream.arrays.cpu import CpuOps
from cutstream.clock import SystemClock
from cutstream.contract.options import Matting
from cutstream.errors import MattingNotReady
from cutstream.metrics import Metrics
from tests.support.jobs import job_of


@pytest.fixture
def compiling(tmp_path: Path) -> Iterator[tuple[MattingCode, Callable[[], None]]]:
    """The code while it is being compiled, and a function that ends that."""
    done = tmp_path / "done"
    program = f"import pathlib, time\nwhile not pathlib.Path({str(done)!r}).exists(): time.sleep(0.01)"
    code = MattingCode((sys.executable, "-c", program))
    yield code, done.touch
    code.close()


def wait_until_ready(code: MattingCode) -> None:
    while True:
        try:
            return code.require()
        except MattingNotReady:
            threading.Event().wait(0.01)


def test_whoever_needs_the_code_waits_until_it_is_there(compiling: tuple[MattingCode, Callable[[], None]]) -> None:
    code, finish = compiling
    for _ in range(3):
        with pytest.raises(MattingNotReady, match="PyMatting is being compiled") as waits:
            code.require()
        assert waits.value.retry_after_s == 1
    finish()
    wait_until_ready(code)
    code.require()


def test_a_compilation_that_fails_keeps_nobody_waiting() -> None:
    code = MattingCode((sys.executable, "-c", "raise SystemExit(1)"))
    wait_until_ready(code)


def test_a_process_that_cannot_be_started_is_tried_again() -> None:
    code = MattingCode(("/no/such/program",))
    for _ in range(2):
        with pytest.raises(MattingNotReady, match="No such file"):
            code.require()
    code.close()


def test_closing_ends_the_compilation(compiling: tuple[MattingCode, Callable[[], None]]) -> None:
    code, _ = compiling
    with pytest.raises(MattingNotReady):
        code.require()
    code.close()
    code.require()  # nothing runs any more


@pytest.mark.parametrize("matting", [None, "fast", Matting(method="fast")])
def test_no_other_matting_needs_the_code(matting: Any) -> None:
    Refine(CpuOps(), MattingCode(("/no/such/program",))).admission(job_of(matting=matting), (), pytest.fail)


@pytest.mark.parametrize("matting", ["knn", Matting(method="closed_form")])
def test_an_exact_matting_needs_the_code(matting: Any) -> None:
    with pytest.raises(MattingNotReady):
        Refine(CpuOps(), MattingCode(("/no/such/program",))).admission(job_of(matting=matting), (), pytest.fail)


def test_a_request_that_waits_holds_no_slot_and_no_memory(compiling: tuple[MattingCode, Callable[[], None]]) -> None:
    code, finish = compiling
    refine, asked, seen = Refine(CpuOps(), code), threading.Event(), []

    def admission(job: Any, order: Any, give_up: Any) -> Any:
        if job.id == "exact":
            asked.set()
        return refine.admission(job, order, give_up)

    def decode(job: Any, value: Any) -> Any:
        seen.append(job.id)
        return job.id

    stage: Stage[Any, Any] = Stage(
        "decode", decode, PrioritySemaphore(1), memory=lambda job, value: 100, admission=admission
    )
    runner: Runner[Any] = Runner(
        Pipeline((stage,)), MemoryBudget(100), Metrics(), SystemClock(), 1, threading.Event(), Waits(SystemClock())
    )
    exact = threading.Thread(target=lambda: runner.carry(job_of(id="exact", matting="knn"), Progress(0.0)))
    exact.start()
    assert asked.wait(10)
    runner.carry(job_of(id="plain"), Progress(1.0))
    finish()
    exact.join(20)
    assert seen == ["plain", "exact"]

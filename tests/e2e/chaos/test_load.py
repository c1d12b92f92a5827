"""What a soak or an overload run does when its worker, its sender or its stack fails."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.machine import Spent
from tests.e2e.chaos import folder, load
from tests.e2e.chaos.folder import run_folder
from tests.e2e.chaos.load import Load, report


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Load]:
    """Return a function that makes a load of ten requests, of which `done` have their results."""
    monkeypatch.setattr(load, "TICK_S", 0.0)

    def make(done: int, failures: tuple[str, ...] = (), exit_code: int | None = None) -> Load:
        parts: dict[str, Any] = {
            "stack": None,
            "worker": SimpleNamespace(
                process=SimpleNamespace(poll=lambda: exit_code), tail=lambda lines: "its last words"
            ),
            "observer": SimpleNamespace(done=done),
            "sender": SimpleNamespace(added=10, failures=failures),
        }
        return Load(**parts, out=Path(), clients=ExitStack())

    return make


def test_all_results_are_awaited(running: Callable[..., Load]) -> None:
    assert running(done=10).await_results() == []


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ({"done": 7}, "3 requests without a result"),
        ({"done": 7, "failures": ("no broker",)}, "not sent: no broker"),
        ({"done": 7, "exit_code": -9}, "the worker ended with -9:\nits last words"),
    ],
)
def test_what_prevents_results_is_said(
    running: Callable[..., Load], monkeypatch: pytest.MonkeyPatch, state: dict[str, Any], sentence: str
) -> None:
    monkeypatch.setattr(load, "STALL_S", 0.0 if state == {"done": 7} else 60.0)
    (found,) = running(**state).await_results()
    assert sentence in found


@pytest.mark.parametrize("logs", [(), ("logs",), ("logs", "state/logs")])
def test_a_run_that_fails_keeps_its_logs_and_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logs: tuple[str, ...]
) -> None:
    monkeypatch.setattr(folder, "STATE", tmp_path / "state")

    def interrupted() -> None:
        with run_folder("soak", tmp_path / "out", ()) as inside:
            for number, name in enumerate(logs):
                (inside / name).mkdir(parents=True)
                (inside / name / f"{number}.log").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(list(tmp_path.glob("out/logs/*.log"))) == len(logs)
    assert list((tmp_path / "state").iterdir()) == []


def test_a_run_begins_without_the_reports_of_an_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "STATE", tmp_path / "state")
    out = tmp_path / "out"
    out.mkdir()
    for name in ("soak.json", "notes.txt"):
        (out / name).touch()
    with run_folder("soak", out, ("soak.json", "samples.jsonl")):
        assert [file.name for file in out.iterdir()] == ["notes.txt"]


def test_logs_that_cannot_be_kept_hide_no_error_and_leave_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise shutil.Error("no space left")

    monkeypatch.setattr(folder, "STATE", tmp_path / "state")
    monkeypatch.setattr(shutil, "copytree", full)

    def run(error: type[BaseException] | None) -> None:
        with run_folder("soak", tmp_path / "out", ()) as inside:
            (inside / "logs").mkdir()
            if error:
                raise error

    with pytest.raises(KeyboardInterrupt):
        run(KeyboardInterrupt)
    assert "no space left" in capsys.readouterr().err
    with pytest.raises(shutil.Error):
        run(None)
    assert list((tmp_path / "state").iterdir()) == []


def test_the_report_says_how_busy_others_were_while_it_was_measured(
    running: Callable[..., Load], tmp_path: Path
) -> None:
    ended = running(done=10)
    ended.out, ended.stack = tmp_path, SimpleNamespace(missing={})  # type: ignore[assignment]
    assert report("soak", ended, Spent(10, 12, 3, {}), {}, [], []) == 0
    assert json.loads((tmp_path / "soak.json").read_text())["others_cores"] == 0.3

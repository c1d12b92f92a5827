"""The entry point of a worker process."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from consumer import __main__, app
from consumer.__main__ import main
from cutstream import log
from cutstream.errors import ModelMismatch


def test_arguments_are_refused_before_a_worker_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 2
    assert "takes no arguments" in capsys.readouterr().err


@pytest.fixture
def failing_worker(monkeypatch: pytest.MonkeyPatch):
    """Return a function that makes the worker's `run` raise an error."""

    def fail(error: Exception) -> None:
        def run() -> None:
            logging.getLogger("consumer.app").info("worker started")
            raise error

        monkeypatch.setattr(app, "Worker", lambda settings: SimpleNamespace(run=run, stop=lambda: None))
        monkeypatch.setattr(app, "on_termination", lambda stop: None)
        monkeypatch.setattr(app, "keep_freed_memory", lambda: None)
        monkeypatch.setattr(app, "check_settings", lambda settings: None)
        monkeypatch.setattr(__main__, "load", lambda: None)
        monkeypatch.setattr(__main__, "addressed", lambda settings: settings)
        monkeypatch.setattr(log, "configure", lambda: None)

    return fail


def test_the_last_line_of_a_worker_that_cannot_go_on_is_the_reason_alone(failing_worker, capsys) -> None:
    failing_worker(ModelMismatch("other tensors"))
    assert main([]) == ModelMismatch.exit_status
    assert capsys.readouterr().err.splitlines()[-1] == "model_mismatch: other tensors"


@pytest.mark.logs_errors
def test_a_bug_ends_the_worker_with_its_stack_trace_in_the_log_and_a_last_line(failing_worker, capsys, caplog) -> None:
    failing_worker(KeyError("bug"))
    assert main([]) == 1
    assert "stack trace" in capsys.readouterr().err.splitlines()[-1]
    assert "KeyError" in (caplog.records[-1].exc_text or "")

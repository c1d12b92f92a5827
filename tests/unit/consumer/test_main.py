"""The entry point of a worker process."""

from __future__ import annotations

import pytest

from consumer.__main__ import main


def test_arguments_are_refused_before_a_worker_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 2
    assert "takes no arguments" in capsys.readouterr().err

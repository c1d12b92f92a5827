"""The program as its caller starts it."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = [sys.executable, "-m", "commands"]


@pytest.mark.parametrize(
    ("redirection", "status", "message"),
    [
        ("> /dev/full", 1, "cannot write to the output: No space left on device\n"),
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        ("| true", 0, ""),
    ],
)
def test_an_output_that_takes_nothing_is_no_stack_trace(redirection: str, status: int, message: str) -> None:
    command = f'"$@" models list {redirection}'
    done = subprocess.run(["sh", "-c", command, "sh", *PROGRAM], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (status, message)


def test_what_the_encoding_cannot_hold_is_escaped() -> None:
    environment = {"PYTHONIOENCODING": "ascii", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([*PROGRAM, "models", "list"], capture_output=True, env=environment, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")

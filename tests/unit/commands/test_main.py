"""The program as its caller starts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from commands import console

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


ESCAPES = "\x1b]0;owned\x07\u202e\x9b31m"


@pytest.mark.parametrize(
    "statement",
    [
        "raise RuntimeError(text)",
        "raise RuntimeError('outer') from ValueError(text)",
        "raise KeyError(text)",
        "logging.getLogger('kafka').warning('a topic %s', text)",
        "console.echo(text)",
        "console.out.print(text)",
        "console.err.print(text)",
        "console.say(text)",
        "console.confirm(text)",
    ],
)
def test_nothing_that_the_program_prints_controls_the_terminal(statement: str) -> None:
    program = f"import logging; from commands import console; console.show_safely(); text = {ESCAPES!r}; {statement}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, input=b"n\n", timeout=60)
    shown = (done.stdout + done.stderr).decode()
    assert "owned" in shown
    assert not set(ESCAPES) & set(shown) - set("]0;owned31m"), repr(shown)


def test_a_line_cannot_pretend_to_be_two(capsys: pytest.CaptureFixture[str]) -> None:
    console.echo("order\tfailed\nother\tok")
    assert capsys.readouterr().out == "order\tfailed\\nother\tok\n"


def test_file_names_are_shown_without_control_characters(tmp_path: Path) -> None:
    (tmp_path / f"{ESCAPES}.jpg").write_bytes(b"no photo")
    environment = {"PATH": "/usr/bin:/bin", "CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9"}
    for path in (tmp_path, tmp_path / f"{ESCAPES}.jpg", tmp_path / f"{ESCAPES}-absent.jpg"):
        done = subprocess.run([*PROGRAM, "submit", str(path)], capture_output=True, env=environment, timeout=60)
        shown = (done.stdout + done.stderr).decode()
        assert shown
        assert not set(ESCAPES) & set(shown) - set("]0;owned31m"), repr(shown)


def test_a_command_that_fails_unexpectedly_prints_a_safe_stack_trace() -> None:
    program = f"""
import sys
from commands import __main__ as program
from commands.app import app
@app.command()
def fail(): raise RuntimeError({ESCAPES!r})
sys.argv = ["cutstream", "fail"]
program.main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    shown = done.stderr.decode()
    assert done.returncode == 1
    assert "RuntimeError: " in shown
    assert not set(ESCAPES) & set(shown) - set("]0;owned31m"), repr(shown)


def test_an_interrupt_while_the_program_is_loaded_is_no_stack_trace() -> None:
    program = """
import os, signal, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "commands.app":
            os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupting())
from commands.__main__ import main
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")

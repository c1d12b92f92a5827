"""A program that is interrupted ends its blocks, however often the signal comes."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys
from benchmarks.ending import run

def main():
    try:
        os.kill(os.getpid(), signal.{first})
        signal.pause()
    finally:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        print("cleaned up")

sys.exit(run(main))
"""


@pytest.mark.parametrize("first", ["SIGINT", "SIGTERM"])
def test_an_interrupted_program_cleans_up_to_the_end(first: str) -> None:
    program = [sys.executable, "-c", PROGRAM.format(first=first)]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (130, "cleaned up\n")
    assert "Traceback" not in ended.stderr
    assert "no report" in ended.stderr

"""Code that was compiled into a folder is taken from there by a process that cannot write to it, as in a container."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from cutstream.arrays.compiled import machine_code

def double(number):
    return 2 * number

print(machine_code.compiled(double, "int64(int64)")(21))
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def run(program: Path, cache: Path, write: bool) -> subprocess.CompletedProcess[str]:
    """Run the program, which caches its function in `cache`; unless it may `write`, every attempt there fails."""
    refuse = "import os, tempfile\ndef no(*a, **k): raise OSError(30, 'Read-only file system')\n"
    refuse += "tempfile.TemporaryFile = os.replace = os.makedirs = no\n"
    start = f"import runpy, sys\n{'' if write else refuse}runpy.run_path(sys.argv[1])"
    environment = os.environ | {
        "NUMBA_CACHE_DIR": str(cache),
        "NUMBA_CACHE_LOCATOR_CLASSES": "cutstream.arrays.compiled.machine_code.ReadOnlyCache",
        "NUMBA_DEBUG_CACHE": "1",
    }
    command = [sys.executable, "-c", start, str(program)]
    return subprocess.run(command, env=environment, cwd=Path.cwd(), capture_output=True, text=True, timeout=100)


def test_code_is_read_where_it_cannot_be_written(program: Path, tmp_path: Path) -> None:
    first = run(program, tmp_path / "cache", write=True)
    assert "data saved to" in first.stdout, first.stderr
    second = run(program, tmp_path / "cache", write=False)
    assert "data loaded from" in second.stdout, second.stderr
    assert second.stdout.endswith("42\n")


def test_without_it_the_code_is_compiled_and_kept_nowhere(program: Path, tmp_path: Path) -> None:
    done = run(program, tmp_path / "cache", write=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("42\n")
    assert not (tmp_path / "cache").exists()

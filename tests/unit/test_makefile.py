"""No variable of a caller runs a command: each reaches its program as it is, in one argument."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[2] / "Makefile"
# Each would make the file `trace` if make or a shell read it.
PAYLOADS = [
    "x; touch trace",
    'it\'s "quoted" $HOME & $$',
    "x' ; touch trace; '",
    'x" ; touch trace; "',
    "$(touch trace)",
    "`touch trace`",
    "$(shell touch trace)",
    "x\ntouch trace",
    "x, y) $(shell touch trace",
    "--help | touch trace",
]
VARIABLES = {
    "demo": ("PHOTOS", "OUT"),
    "train": ("PHOTOS", "OUT", "FROM"),
    "compare": ("PHOTOS", "COCO", "OUT"),
    "images": ("TARGET",),
    "chaos": ("N", "SEED", "FAULTS", "OUT"),
    "soak": ("N", "OUT"),
    "overload": ("MINUTES", "OUT"),
    "fuzz": ("SECONDS", "TARGET"),
    "mutants": ("N", "SEED", "OUT"),
}
PROGRAM = f"#!{sys.executable}\nimport pathlib, sys\nwith open('arguments', 'a') as file: print(sys.argv, file=file)\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copy(MAKEFILE, tmp_path)
    (tmp_path / "requirements").mkdir()
    for name in ("requirements/uv.txt", "requirements/dev.txt", "requirements/triton.txt", "pyproject.toml"):
        (tmp_path / name).touch()
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "cutstream", "uv"):
        (programs / name).write_text(PROGRAM)
        (programs / name).chmod(0o755)
    (tmp_path / ".venv" / ".ready").touch()
    return tmp_path


def make(checkout: Path, target: str, *words: str, **environment: str) -> None:
    clean = {"PATH": os.environ["PATH"], **environment}
    done = subprocess.run(["make", target, *words], cwd=checkout, env=clean, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("target", VARIABLES)
def test_no_variable_runs_a_command(checkout: Path, target: str, payload: str) -> None:
    values = {name: f"{payload} {name}" for name in VARIABLES[target]}
    for environment in ({}, values):
        words = [] if environment else [f"{name}={value}" for name, value in values.items()]
        make(checkout, target, *words, **environment)
        assert not (checkout / "trace").exists()
        given = (checkout / "arguments").read_text()
        for value in values.values():
            assert repr(value) in given
        (checkout / "arguments").unlink()


def test_variables_that_are_not_set_have_their_defaults(checkout: Path) -> None:
    make(checkout, "chaos")
    make(checkout, "demo")
    chaos, demo = (checkout / "arguments").read_text().splitlines()
    assert "'--requests', '10000', '--seed', '1', '--faults', '60', '--out', 'out/chaos'" in chaos
    assert demo.endswith("'demo', '--out', 'out']")

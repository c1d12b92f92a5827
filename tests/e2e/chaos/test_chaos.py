"""A short run with a fixed seed: faults of different kinds under load lose, double, mix up and strand nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton, pytest.mark.timeout(400)]

KINDS = (
    "worker killed",
    "worker lost",
    "triton frozen",
    "kafka killed",
    "store answers 503",
    "source away",
    "disk full",
)


def test_short_run(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    # A process of its own, as with `make chaos`: kafka-python leaves sockets to the garbage collector when the broker
    # dies, which fails a session of pytest.
    command = [sys.executable, "-m", "tests.e2e.chaos", "--requests=400", f"--faults={len(KINDS)}", "--photos=8"]
    options = [f"--kinds={','.join(KINDS)}", "--watch-s", "1", "2", f"--out={tmp_path}"]
    run = subprocess.run([*command, *options], cwd=pytestconfig.rootpath, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert {line["kind"] for line in report["faults"]} >= set(KINDS) - {"store answers 503", "disk full"}
    assert report["totals"]["dead_letters"] > 0
    assert report["totals"]["objects"] > 400
    assert report["violations"] == []

"""The HTTP examples of docs/client.md run as they are shown, against a gateway."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.examples import OVER_HTTP, command_of, examples
from tests.support.stand_in_worker import StandInWorker

pytestmark = pytest.mark.kafka

_ADDRESS = "http://127.0.0.1:8080"
_RUN_S = 60


@pytest.mark.parametrize("language", list(OVER_HTTP))
def test_a_job_is_submitted_and_followed(
    language: str, running: Callable, worker: StandInWorker, jars: Path, tmp_path: Path
) -> None:
    name, address = OVER_HTTP[language], running().address
    text = examples()[name]
    assert _ADDRESS in text
    (tmp_path / name).write_text(text.replace(_ADDRESS, address))
    command = command_of(name, tmp_path, jars.resolve())
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=_RUN_S)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line.removeprefix("data: ")) for line in done.stdout.splitlines() if line.startswith("data: ")]
    assert [event["status"] for event in told] == ["ok", "done"]
    assert worker.requests[0].image == told[0]["image"] == "https://example.org/shoe.jpg"
    assert told[0]["outputs"][0]["url"].startswith("/v1/jobs/")

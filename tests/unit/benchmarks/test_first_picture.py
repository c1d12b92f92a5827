"""The benchmark of the first picture: what it sees from outside, and what it makes of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks import first_picture
from benchmarks.first_picture import Turn, Watch, report, summary

COMMAND = """
import sys, time
from pathlib import Path
logs, target = Path(sys.argv[1]) / "cutstream-run-1" / "logs", Path(sys.argv[2])
logs.mkdir(parents=True)
for file, text in (("kafka.log", ""), ("kafka.log", "INFO Kafka Server started"), ("worker.log", "worker started")):
    (logs / file).write_text(text)
    time.sleep(0.2)
target.touch()
time.sleep(0.2)
"""


def test_phases_end_when_the_logs_say_so(tmp_path: Path) -> None:
    target = tmp_path / "cutout.png"
    with subprocess.Popen([sys.executable, "-c", COMMAND, str(tmp_path / "state"), str(target)]) as process:
        turn = Watch(tmp_path / "state", target).until_ended(psutil.Process(process.pid))
    assert [*turn.phases] == ["kafka_launched", "kafka_up", "worker_launched", "worker_up", "picture", "ended"]
    assert [*turn.phases.values()] == sorted(turn.phases.values())
    assert set(turn.cpu) == {"command"}


def turns() -> list[Turn]:
    ends = {"kafka_up": 1.0, "picture": 3.0, "ended": 4.0}
    return [
        Turn({name: end + late for name, end in ends.items()}, {"command": 1.0, "kafka": 2.0 + late}, 3.0 + late)
        for late in (0.0, 0.2, 9.0)
    ]


def test_the_medians_count() -> None:
    assert summary(turns()) == {
        "median_picture_s": 3.2,
        "phases_s": {"kafka_up": 1.2, "picture": 3.2, "ended": 4.2},
        "cpu_by_process": {"command": 1.0, "kafka": 2.2},
    }


def test_each_turn_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: dict[str, Any] = {}
    monkeypatch.setattr(first_picture, "record", lambda name, **figures: recorded.update(figures) or figures)
    report("without a stack", turns())
    assert recorded["picture_s"] == [3.0, 3.2, 12.0]
    assert recorded["cpu_s"] == [3.0, 3.2, 12.0]
    assert recorded["turns"] == 3

"""A real Prometheus for tests, with a configuration and a folder of its own."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tests.support.ports import free_ports

BINARY = shutil.which("prometheus")
MISSING = "prometheus is not installed (Debian's package prometheus)"
START_TIMEOUT_S = 30


class Series(NamedTuple):
    """The labels of a series and its points: seconds since the epoch, and values, of which none is NaN."""

    labels: dict[str, str]
    times: list[float]
    values: list[float]


class Prometheus:
    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/api/v1"

    def query_range(self, expression: str, start_s: float, end_s: float, step_s: float = 1.0) -> list[Series]:
        """Return the series of an expression that have a point in this time."""
        found = self._get("query_range", query=expression, start=start_s, end=end_s, step=step_s)["result"]
        series = []
        for each in found:
            points = [(at, float(value)) for at, value in each["values"] if not math.isnan(float(value))]
            if points:
                series.append(Series(each["metric"], [at for at, _ in points], [value for _, value in points]))
        return series

    def exemplars(self, expression: str, start_s: float, end_s: float) -> list[dict[str, str]]:
        """Return the labels of all exemplars of a metric."""
        found = self._get("query_exemplars", query=expression, start=start_s, end=end_s)
        return [exemplar["labels"] for series in found for exemplar in series["exemplars"]]

    def targets_up(self) -> int:
        return sum(target["health"] == "up" for target in self._get("targets")["activeTargets"])

    def _get(self, path: str, **parameters: object) -> Any:
        try:
            with urllib.request.urlopen(
                f"{self._base}/{path}?{urllib.parse.urlencode(parameters)}", timeout=20
            ) as reply:
                return json.load(reply)["data"]
        except urllib.error.HTTPError as exc:
            raise AssertionError(f"{parameters}: {exc.read().decode()}") from exc


def quickened(rules: str) -> str:
    """Return rules whose minutes are seconds, for a run that takes one minute instead of many."""
    return re.sub(r"\b(\d+)m\b", r"\1s", rules)


@contextmanager
def prometheus(folder: Path, targets: Mapping[str, Mapping[str, str]], rules: str) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes the addresses of each job every second, under these names."""
    (port,) = free_ports(1)
    folder.mkdir(parents=True)
    (folder / "rules.yml").write_text(rules)
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [
            {
                "job_name": job,
                "static_configs": [
                    {"targets": [address], "labels": {"instance": name}} for name, address in addresses.items()
                ],
            }
            for job, addresses in targets.items()
        ],
    }
    (folder / "prometheus.yml").write_bytes(msgspec.yaml.encode(config))
    log = folder / "prometheus.log"
    assert BINARY
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                BINARY,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--enable-feature=exemplar-storage",
                "--log.level=warn",
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_ready(process, port, log)
        yield Prometheus(port)
    finally:
        process.terminate()
        process.wait(20)


def _wait_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=2):
                return
        except OSError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)

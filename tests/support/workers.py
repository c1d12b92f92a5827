"""Worker processes for tests to kill, freeze and stop, and a reader of their results."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import consumer
from cutstream.clients.kafka import OutgoingRecord, Record, RecordWriter, TopicReader
from cutstream.contract.messages import Result, decode_result
from cutstream.settings import KafkaSettings, Settings, as_environment
from tests.support.ports import free_ports


class WorkerProcess:
    """A worker process, started as an operator would start it, with a health port and a page's port of its own."""

    def __init__(self, settings: Settings, log: Path, command: Sequence[str] = consumer.COMMAND) -> None:
        self.port, self.page_port = free_ports(2)
        self.log = log
        worker = settings.worker.model_copy(update={"port": self.port})
        page = settings.page.model_copy(update={"port": self.page_port})
        environment = as_environment(settings.model_copy(update={"worker": worker, "page": page}))
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                list(command),
                env={**os.environ, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def wait_ready(self, timeout_s: float = 60) -> WorkerProcess:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the worker ended with {self.process.returncode}:\n{self.tail()}"
            try:
                if self.get("/readyz")[0] == 200:
                    return self
            except OSError:
                pass  # it does not listen yet
            time.sleep(0.1)
        raise AssertionError(f"the worker is not ready after {timeout_s} s:\n{self.tail()}")

    def metric(self, name: str, label: str = "") -> float:
        """Return the sum of all samples of that name whose labels contain `label`, such as `outcome="refused"`."""
        _, text = self.get("/metrics")
        lines = [line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{")) and label in line]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def terminate(self, timeout_s: float = 60) -> int:
        self.signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


@contextmanager
def workers(settings: Settings, folder: Path, count: int = 1) -> Iterator[list[WorkerProcess]]:
    started = [WorkerProcess(settings, folder / f"worker-{number}.log") for number in range(count)]
    try:
        yield [worker.wait_ready() for worker in started]
    finally:
        for worker in started:
            worker.kill()


def submit(
    settings: KafkaSettings, requests: Iterable[dict | bytes], headers: Sequence[tuple[str, bytes]] = ()
) -> None:
    writer = RecordWriter(settings)
    writer.start()
    try:
        values = [r if isinstance(r, bytes) else json.dumps(r).encode() for r in requests]
        writer.write(OutgoingRecord(settings.requests_topic, None, value, list(headers)) for value in values)
    finally:
        writer.close()


class Results:
    """All records committed to the results topic so far."""

    def __init__(self, settings: KafkaSettings, topic: str | None = None) -> None:
        self.settings = settings
        self._reader = TopicReader(settings, topic or settings.results_topic)
        self._reader.start()
        self.records: list[Record] = []

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *exc: object) -> None:
        self._reader.close()

    def read(self, timeout_s: float = 0.2) -> int:
        self.records += self._reader.poll(timeout_s)
        return len(self.records)

    def read_to_the_end(self, quiet_s: float = 1.0) -> None:
        """Read until nothing has come for so long."""
        before = -1
        while before < len(self.records):
            before = len(self.records)
            self.read(quiet_s)

    def wait_for(self, count: int, timeout_s: float) -> list[Result]:
        """Wait for `count` results and one second more. Return all results, which may be more than `count`."""
        deadline = time.monotonic() + timeout_s
        while self.read() < count:
            assert time.monotonic() < deadline, f"{len(self.records)} of {count} results after {timeout_s} s"
        quiet = time.monotonic() + 1.0
        while time.monotonic() < quiet:
            self.read()
        return self.all

    @property
    def all(self) -> list[Result]:
        return [decode_result(record.value) for record in self.records]


def assert_exactly_once(results: list[Result], ids: Iterable[str]) -> None:
    counted = Counter(result.id for result in results)
    wanted = set(ids)
    assert not wanted - counted.keys(), f"lost: {sorted(wanted - counted.keys())[:10]}"
    assert not (twice := [id for id, count in counted.items() if count > 1]), f"more than once: {sorted(twice)[:10]}"
    assert counted.keys() == wanted

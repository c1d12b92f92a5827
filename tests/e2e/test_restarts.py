"""While servers of the local stack are killed, and started again by it, requests go on: each is answered once."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import consumer
from cutstream.settings import KafkaSettings, ModelSettings, ObjectSettings, Settings, StackSettings, WorkerSettings
from deploy.local.running import RunningStack, running_stack
from export.repository.render import render
from tests.support.ports import free_ports, free_stack_ports
from tests.support.sockets import closed_sockets  # noqa: F401
from tests.support.workers import Results, assert_exactly_once, submit

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.kafka,
    pytest.mark.triton,
    pytest.mark.timeout(180),
]

REQUESTS = 300
TIMEOUT_S = 60.0


@pytest.fixture
def own_settings(folder: Path, jars: Path, tmp_path: Path) -> Settings:
    """Settings of a stack with servers of its own, which serves the default profile."""
    (worker,) = free_ports(1)
    settings = Settings(
        kafka=KafkaSettings(session_timeout_s=6.0, transaction_timeout_s=5.0),
        models=ModelSettings(store=tmp_path / "empty"),
        objects=ObjectSettings(destination=(folder / "out").as_uri(), file_roots=(folder,)),
        worker=WorkerSettings(port=worker, memory_bytes=1_000_000_000),
        stack=StackSettings(state=tmp_path / "state", private=False, jars=jars, **free_stack_ports()),
    )
    render(settings)
    return settings


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def stack(own_settings: Settings, said: list[str]) -> Iterator[RunningStack]:
    """A running stack whose dead servers are started again in the background, as `cutstream up` does."""
    stop = threading.Event()
    with running_stack(own_settings, consumer.COMMAND, said.append) as running:

        def watch() -> None:
            while not stop.wait(0.2):
                running.check()

        watcher = threading.Thread(target=watch)
        watcher.start()
        yield running
        stop.set()
        watcher.join()


def kill(stack: RunningStack, name: str, program: str) -> None:
    """Kill the processes of a server that run a program."""
    for process in psutil.Process(stack.supervisor.pid(name)).children(recursive=True):
        if program in process.name():
            os.kill(process.pid, signal.SIGKILL)


def wait_for(condition: Callable[[], object], said: list[str]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "\n".join(said)
        time.sleep(0.02)


@pytest.mark.logs_errors
def test_requests_go_on_while_servers_die(stack: RunningStack, said: list[str], small_photos: list[str]) -> None:
    wanted = [{"id": f"photo-{n}", "image": small_photos[n % len(small_photos)]} for n in range(REQUESTS)]
    with Results(stack.settings.kafka) as results:
        submit(stack.settings.kafka, wanted)
        for name, program, count in (("triton", "tritonserver", 20), ("kafka", "java", 120), ("worker", "python", 200)):
            wait_for(lambda count=count: results.read() >= count, said)
            kill(stack, name, program)
            death = f"{name} was ended by SIGKILL. It is started again in 0.5 s."
            wait_for(lambda death=death: any(line.startswith(death) for line in said), said)
            assert len(said) <= 6, said  # one word for each death and each return
        done = results.wait_for(REQUESTS, TIMEOUT_S)
    wait_for(lambda: sum("is ready again" in line for line in said) == 3, said)
    assert_exactly_once(done, [request["id"] for request in wanted])
    assert {result.status for result in done} == {"ok"}
    log = (stack.settings.stack.state / "logs" / "worker.log.1").read_text().splitlines()
    broker = [json.loads(line)["event"] for line in log if "broker" in line]
    assert len([event for event in broker if event.startswith("connection to broker 1 lost")]) == 1
    assert len(broker) <= 10, broker

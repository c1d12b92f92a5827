from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from cutstream.settings import GatewaySettings, KafkaSettings, ObjectSettings, Settings
from producer.gateway.gateway import Gateway
from tests.support.ports import free_ports
from tests.support.stand_in_worker import StandInWorker


@pytest.fixture
def objects(tmp_path: Path) -> ObjectSettings:
    state = tmp_path / "gateway"
    state.mkdir(mode=0o755)
    return ObjectSettings(destination=(tmp_path / "out").as_uri(), file_roots=(state,))


@pytest.fixture
def worker(kafka_settings: KafkaSettings, objects: ObjectSettings) -> Iterator[StandInWorker]:
    with StandInWorker(kafka_settings, objects) as standing_in:
        yield standing_in


class Running:
    """A gateway on a thread of this process, and a client for it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.gateway = Gateway(settings)
        self.address = f"http://127.0.0.1:{settings.gateway.port}"
        self.client = httpx.Client(base_url=self.address, timeout=30)
        self._thread = threading.Thread(target=self.gateway.run)

    def start(self) -> Running:
        self._thread.start()
        deadline = time.monotonic() + 30
        while True:
            try:
                if self.client.get("/readyz").status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, "the gateway is not ready"
            time.sleep(0.02)

    def stop(self) -> None:
        self.client.close()
        self.gateway.stop()
        self._thread.join()


@pytest.fixture
def running(kafka_settings: KafkaSettings, objects: ObjectSettings, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts a gateway with these settings of its section. It is stopped after the test."""
    with ExitStack() as stack:

        def start(**section: Any) -> Running:
            (port,) = free_ports(1)
            gateway = GatewaySettings(**{"port": port, "state": tmp_path / "gateway", **section})
            started = Running(Settings(kafka=kafka_settings, objects=objects, gateway=gateway))
            stack.callback(started.stop)
            return started.start()

        yield start

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from cutstream.settings import GatewaySettings, LimitSettings, ObjectSettings, Settings
from producer.gateway.gateway import Gateway
from tests.support.fake_stream import FakeStream
from tests.support.ports import free_ports
from tests.support.stand_in_worker import StandInWorker


class Served:
    """A gateway on a thread, with a stream that is not Kafka."""

    def __init__(self, settings: Settings) -> None:
        self.gateway = Gateway(settings, make_stream=FakeStream)
        self.stream: FakeStream = self.gateway._stream  # type: ignore[assignment]
        self.worker = StandInWorker(settings.kafka, settings.objects)
        self.stream.answer = self.worker.succeed
        self.port = settings.gateway.port
        scheme = "https" if settings.gateway.ssl_certfile else "http"
        self.client = httpx.Client(base_url=f"{scheme}://127.0.0.1:{self.port}", timeout=30, verify=False)
        self._thread = threading.Thread(target=self.gateway.run)

    def start(self) -> Served:
        self._thread.start()
        deadline = time.monotonic() + 30
        while True:
            try:
                if self.client.get("/readyz").status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, "it is not ready"
            time.sleep(0.01)

    def stop(self) -> None:
        self.client.close()
        self.gateway.stop()
        self._thread.join()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts a gateway with these settings of its section."""
    (tmp_path / "state").mkdir(mode=0o755)
    with ExitStack() as stack:

        def start(max_source_bytes: int = 1_000_000, **section: Any) -> Served:
            (port,) = free_ports(1)
            settings = Settings(
                objects=ObjectSettings(destination=(tmp_path / "out").as_uri(), file_roots=(tmp_path,)),
                limits=LimitSettings(max_source_bytes=max_source_bytes),
                gateway=GatewaySettings(**{"port": port, "state": tmp_path / "state", **section}),
            )
            served = Served(settings)
            stack.callback(served.stop)
            return served.start()

        yield start

"""Clients of a gateway that go on until they are stopped: synchronous calls of two APIs, and jobs with a webhook."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

_PATIENCE_S = 4.0  # after which they hang up
_BUSY_PAUSE_S = 0.3  # after a call that was refused
_JOB_PAUSE_S = 0.4
_JOBS_ALONE_S = 3.0  # at first, so that some are taken before the others fill the gateway


class HttpClients:
    """Three that call and wait, one photo after the other, and one that submits jobs of one photo."""

    def __init__(self, address: str, photos: Sequence[Path], webhook: str) -> None:
        self._photos = photos
        self._webhook = webhook
        self._client = httpx.Client(base_url=address, timeout=_PATIENCE_S)
        self._stop = threading.Event()
        calls = (("/v1.0/removebg", "image_file"), ("/v1.0/removebg", "image_file"), ("/api/remove", "file"))
        self._threads = [threading.Thread(target=self._call, args=call) for call in calls]
        self._threads.append(threading.Thread(target=self._submit_jobs))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop, and wait for what is under way."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._client.close()

    def _call(self, path: str, field: str) -> None:
        number = 0
        self._stop.wait(_JOBS_ALONE_S)
        while not self._stop.is_set():
            photo = self._photos[number % len(self._photos)]
            number += 1
            with suppress(httpx.TimeoutException):
                answer = self._client.post(path, files={field: (photo.name, photo.read_bytes())})
                if answer.status_code == 429:
                    self._stop.wait(_BUSY_PAUSE_S)

    def _submit_jobs(self) -> None:
        photo = self._photos[0]
        pause_s = 0.0
        while not self._stop.wait(pause_s):
            upload = {"image_file": (photo.name, photo.read_bytes())}
            answer = self._client.post("/v1/jobs", files=upload, data={"webhook": self._webhook})
            pause_s = _BUSY_PAUSE_S if answer.status_code == 429 else _JOB_PAUSE_S


@contextmanager
def http_clients(address: str, photos: Sequence[Path], webhook: str) -> Iterator[None]:
    """Run the clients. `webhook` is the address that is told when a job is done."""
    clients = HttpClients(address, photos, webhook)
    clients.start()
    try:
        yield
    finally:
        clients.stop()

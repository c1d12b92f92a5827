"""The live page of a real worker, in a real Chromium and beside it."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import expect

from cutstream import metrics as m
from cutstream.exposition import Exposition, read_exposition
from cutstream.settings import Settings
from tests.e2e.conftest import DATA, REAL
from tests.support.browser import CHROMIUM, MISSING, chromium, opened
from tests.support.group import wait_until
from tests.support.workers import Results, WorkerProcess, assert_exactly_once, submit, workers

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton, pytest.mark.timeout(240)]

PHOTOS = 120


class Watched(NamedTuple):
    worker: WorkerProcess
    settings: Settings

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.worker.page_port}/"

    def view(self) -> dict[str, Any]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.worker.page_port, timeout=5)) as connection:
            connection.request("GET", "/view.json")
            return json.loads(connection.getresponse().read())  # type: ignore[no-any-return]

    def metrics(self) -> Exposition:
        return read_exposition(self.worker.get("/metrics")[1])


@pytest.fixture
def watched(settings: Settings, tmp_path: Path) -> Iterator[Watched]:
    """A worker whose page shows photos, as on the local stack."""
    shown = settings.model_copy(update={"page": settings.page.model_copy(update={"photos": "always"})})
    with workers(shown, tmp_path) as (worker,):
        yield Watched(worker, shown)


def requests_of(count: int) -> list[dict[str, Any]]:
    good = [{"id": f"order-{n}", "image": (DATA / REAL[n % len(REAL)]).as_uri()} for n in range(count)]
    return [*good, {"id": "order-away", "image": (DATA / "missing.jpg").as_uri()}]


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
def test_a_run_can_be_watched(watched: Watched) -> None:
    """Numbers move, photos appear beside their cutouts, and the failed one is there with its reason."""
    with (
        chromium() as browser,
        Results(watched.settings.kafka) as results,
        opened(browser, watched.address) as page,
    ):
        expect(page.locator("#empty")).to_be_visible()
        submit(watched.settings.kafka, requests_of(PHOTOS))
        expect(page.locator("#empty")).to_be_hidden(timeout=20_000)
        expect(page.locator("#rate")).not_to_have_text("–", timeout=20_000)
        expect(page.locator("#photos li").nth(1)).to_be_visible(timeout=60_000)
        failure = page.locator("#failures li").filter(has_text="order-away")
        expect(failure).to_contain_text("failed_image_download")
        expect(failure).to_contain_text("missing.jpg")
        expect(failure).to_contain_text("cutstream dead-letters show order-away")
        assert_exactly_once(results.wait_for(PHOTOS + 1, 120), [one["id"] for one in requests_of(PHOTOS)])
        expect(page.locator("#done")).to_have_text(str(PHOTOS), timeout=20_000)
        expect(page.locator("#failed")).to_have_text("1")
        expect(page.locator("#lag")).to_have_text("0", timeout=20_000)
        sizes = page.locator("#photos img").evaluate_all("images => images.map(i => i.naturalWidth)")
        assert all(40 <= size <= 160 for size in sizes)


def test_its_numbers_are_those_of_metrics(watched: Watched) -> None:
    """While it works each number lies between those of the scrapes before and after; then all are equal."""
    submit(watched.settings.kafka, requests_of(40))
    wait_until(lambda: watched.metrics().total(m.REQUESTS) >= 3, "there are no results", 60)
    before = watched.metrics()
    view = watched.view()
    after = watched.metrics()
    done = view["statuses"].get("ok", 0)
    assert before.total(m.REQUESTS, status="ok") <= done <= after.total(m.REQUESTS, status="ok")
    wait_until(
        lambda: watched.metrics().total(m.REQUESTS) == 41 and watched.view()["lag"] == 0, "there is no last result", 60
    )
    view, now = watched.view(), watched.metrics()
    assert view["statuses"] == {"ok": now.total(m.REQUESTS, status="ok"), "failed": 1} == {"ok": 40, "failed": 1}
    assert view["codes"] == {"failed_image_download": 1}
    assert view["lag"] == now.total(m.LAG)
    (worker,) = view["workers"]
    assert worker["address"] == f"127.0.0.1:{watched.worker.port}"
    assert worker["in_flight"] == now.total(m.IN_FLIGHT) == 0
    assert worker["window"] == now.total(m.WINDOW)
    for stage in view["stages"]:
        assert stage["working"] == now.total(m.STAGE_PHOTOS, stage=stage["name"], state="working")


def test_a_worker_stops_promptly_while_somebody_watches(watched: Watched) -> None:
    stream = socket.create_connection(("127.0.0.1", watched.worker.page_port), timeout=30)
    with stream:
        stream.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in stream.recv(65_536)
        began = time.monotonic()
        assert watched.worker.terminate() == 0
        assert time.monotonic() - began < 10
        while stream.recv(65_536):
            pass


def test_a_thousand_slow_connections_harm_neither_probes_nor_photos(watched: Watched) -> None:
    slow = []
    for number in range(1000):
        client = socket.create_connection(("127.0.0.1", watched.worker.page_port), timeout=10)
        slow.append(client)
        with suppress(OSError):
            client.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n" if number % 3 == 0 else b"GET / HT")
    try:
        with Results(watched.settings.kafka) as results:
            submit(watched.settings.kafka, requests_of(20))
            for path in ("/healthz", "/readyz", "/metrics"):
                assert watched.worker.get(path)[0] == 200
            assert_exactly_once(results.wait_for(21, 120), [one["id"] for one in requests_of(20)])
    finally:
        for client in slow:
            client.close()


def test_elsewhere_nothing_of_a_photo_is_shown(settings: Settings, tmp_path: Path) -> None:
    """With a broker of one's own photos are off, unless a setting says otherwise."""
    with workers(settings, tmp_path) as (worker,), Results(settings.kafka) as results:
        submit(settings.kafka, requests_of(5))
        results.wait_for(6, 120)
        with socket.create_connection(("127.0.0.1", worker.page_port), timeout=10) as stream:
            stream.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            said = b""
            while said.count(b"event: view") < 3:
                said += stream.recv(65_536)
    assert b"order-away" in said
    assert b"missing.jpg" not in said
    assert b"data:image" not in said
    assert b"event: photo" not in said

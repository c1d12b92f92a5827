from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from itertools import pairwise
from time import monotonic, sleep
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from starlette.routing import Mount

from consumer.health import HealthServer
from cutstream.clock import Clock, SystemClock
from cutstream.exposition import Exposition, read_exposition, read_registry
from cutstream.metrics import Metrics
from cutstream.watching.page import CONTENT_SECURITY, LivePage, Sampling
from cutstream.watching.page.documents import view_document
from cutstream.watching.page.stream import MOST_WATCHERS
from cutstream.watching.recent import MOST_FAILURES, MOST_PHOTOS, Failure, Recent
from cutstream.watching.scraping import Observed, Scrape, scrape
from cutstream.watching.view import STAGES, view_of
from cutstream.web import WebServer, listen, site
from tests.support.live_page import ServedPage, busy, photo, served_page, work

TOKEN = "0123456789abcdef"
HOSTILE = [
    "<script>alert(1)</script>",
    "a\u202egnp.exe",
    "\x1b]0;owned\x07\x1b[201~rm -rf ~",
    "one\nevent: failure\ndata: {}\n\n",
    "x" * 100_000,
    "\udcff\ud800",
    "-rf; rm ~",
    "$(reboot)",
]


@pytest.fixture
def page() -> Iterator[ServedPage]:
    with served_page() as served:
        busy(served.metrics)
        yield served


def get(page: ServedPage, path: str, token: str | None = None) -> tuple[int, str]:
    with closing(http.client.HTTPConnection(page.netloc, timeout=10)) as connection:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        response = connection.getresponse()
        return response.status, response.read().decode()


class Watcher:
    """One stream of events, as long as its block."""

    def __init__(self, page: ServedPage, token: str | None = None, path: str = "/events") -> None:
        self._connection = http.client.HTTPConnection(page.netloc, timeout=10)
        self._connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        self.response = self._connection.getresponse()

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *exc: object) -> None:
        self.response.close()
        self._connection.close()

    def event(self) -> tuple[str, dict[str, Any]]:
        """Return the next event: its name and its data."""
        name, data = self.response.readline().decode(), self.response.readline().decode()
        assert self.response.readline() == b"\n"
        return name.removeprefix("event: ").strip(), json.loads(data.removeprefix("data: "))

    def wait_for(self, name: str) -> dict[str, Any]:
        until = monotonic() + 10
        while monotonic() < until:
            found, data = self.event()
            if found == name:
                return data
        raise AssertionError(f"no event {name}")


def get_status(page: ServedPage) -> int:
    with Watcher(page) as watcher:
        return watcher.response.status


def test_the_page_is_served_and_says_what_it_needs_from_nowhere_else(page: ServedPage) -> None:
    status, html = get(page, "/")
    assert status == 200
    for part in ("style.css", "page.css", "page.js", "mark.svg"):
        assert f'"{part}"' in html
        assert get(page, f"/{part}")[0] == 200
    assert "http:" not in html
    assert 'style="' not in html
    assert "<script>" not in html


def test_the_numbers_are_those_of_metrics(page: ServedPage) -> None:
    """Before and after some work, the page says what `cutstream top` computes from /metrics."""

    def scraped() -> Scrape:
        return Scrape(monotonic(), read_exposition(page.metrics.exposition()[1].decode()))

    get(page, "/view.json")
    before = scraped()
    sleep(0.5)
    work(page.metrics)
    document = json.loads(get(page, "/view.json")[1])
    expected = view_document(view_of([Observed("127.0.0.1:9100", before, scraped())]))
    assert document.pop("photos") is True
    rate, wanted = document.pop("rate"), expected.pop("rate")
    assert rate == pytest.approx(wanted, rel=0.2)  # the two have not read the clock at the same time
    assert document.pop("drain_s") == pytest.approx(expected.pop("drain_s"), rel=0.2)
    for one in (document, expected):
        one["workers"][0].pop("rate")
    assert document == expected
    assert document["bottleneck"] == "segment"
    assert [stage["name"] for stage in document["stages"]] == list(STAGES)
    assert document["statuses"] == {"ok": 487, "failed": 10, "expired": 3}


def test_a_worker_that_stands_still_never_drains(page: ServedPage) -> None:
    get(page, "/view.json")
    sleep(0.5)
    assert json.loads(get(page, "/view.json")[1])["drain_s"] == "never"


def test_who_asks_without_a_pause_has_the_numbers_read_a_few_times_a_second(
    page: ServedPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[float] = []

    def read(registry: CollectorRegistry) -> Exposition:
        reads.append(monotonic())
        return read_registry(registry)

    monkeypatch.setattr("cutstream.watching.page.sampling.read_registry", read)
    for _ in range(50):
        assert get(page, "/view.json")[0] == 200
    assert all(later - earlier > 0.2 for earlier, later in pairwise(reads))
    assert reads


def test_events_begin_with_all_that_is_known_and_go_on_every_second(page: ServedPage) -> None:
    for number in range(MOST_PHOTOS + 3):
        page.recent.photos.add(photo(f"photo-{number}"))
    page.recent.add_failure("order-1", 0.0, "invalid_request", "request", "the request is not JSON")
    with Watcher(page) as watcher:
        assert watcher.response.headers["Content-Type"].startswith("text/event-stream")
        assert watcher.event()[0] == "hello"
        assert watcher.event()[0] == "view"
        shown = [watcher.event()[1]["id"] for _ in range(MOST_PHOTOS)]
        assert shown == [f"photo-{number}" for number in range(3, MOST_PHOTOS + 3)]
        assert watcher.event()[1]["message"] == "the request is not JSON"
        assert page.recent.watched
        began = monotonic()
        assert [watcher.event()[0] for _ in range(2)] == ["view", "view"]
        assert 0.5 < monotonic() - began < 4
        page.recent.photos.add(photo("later"))
        assert watcher.wait_for("photo")["id"] == "later"


def test_nothing_is_computed_while_nobody_watches(page: ServedPage, monkeypatch: pytest.MonkeyPatch) -> None:
    with Watcher(page) as watcher:
        watcher.wait_for("view")
    until = monotonic() + 5
    while page.recent.watched and monotonic() < until:
        sleep(0.05)
    assert not page.recent.watched
    read = threading.Event()
    monkeypatch.setattr("cutstream.watching.page.sampling.read_registry", lambda registry: read.set())
    assert not read.wait(2.5)


def test_a_watcher_too_many_is_told_so_and_finds_a_place_when_one_leaves(page: ServedPage) -> None:
    watchers = [Watcher(page) for _ in range(MOST_WATCHERS)]
    assert {watcher.response.status for watcher in watchers} == {200}
    status, text = get(page, "/events")
    assert status == 503
    assert f"{MOST_WATCHERS} windows watch this worker already" in text
    assert get(page, "/")[0] == 200
    watchers.pop().__exit__()
    until = monotonic() + 5
    while get_status(page) == 503:
        assert monotonic() < until
        sleep(0.1)
    for watcher in watchers:
        watcher.__exit__()


def test_a_stream_ends_at_once_when_the_server_closes() -> None:
    with served_page() as page:
        watcher = Watcher(page)
        watcher.wait_for("view")
        began = monotonic()
    assert monotonic() - began < 1.5
    watcher.__exit__()


def test_with_a_token_the_page_is_for_everybody_and_what_it_shows_is_not() -> None:
    with served_page(TOKEN) as page:
        for path in ("/", "/page.js", "/style.css"):
            assert get(page, path)[0] == 200
        for path in ("/events", "/view.json"):
            assert get(page, path)[0] == 401
            assert get(page, path, "wrong")[0] == 401
        assert get(page, "/view.json", TOKEN)[0] == 200
        with Watcher(page, TOKEN) as watcher:
            assert watcher.event()[0] == "hello"


def test_without_photos_a_failure_has_neither_message_nor_address() -> None:
    with served_page(shows_photos=False) as page:
        message = "file:///srv/photos/table.jpg: No such file or directory"
        page.recent.add_failure("order-1", 0.0, "failed_image_download", "fetch", message)
        with Watcher(page) as watcher:
            assert watcher.event()[1]["photos"] is False
            failure = watcher.wait_for("failure")
        assert failure["message"] == ""
        assert failure["code"] == "failed_image_download"
        assert "table.jpg" not in json.dumps(failure)


@pytest.mark.parametrize("id", HOSTILE, ids=range(len(HOSTILE)))
def test_what_strangers_write_is_shown_as_short_printable_text(page: ServedPage, id: str) -> None:
    page.recent.photos.add(photo(id))
    page.recent.add_failure(id, 0.0, "invalid_request", "request", f"not JSON: {id}")
    with Watcher(page) as watcher:
        shown, failure = watcher.wait_for("photo"), watcher.wait_for("failure")
        watcher.wait_for("view")  # the stream has not lost its frame
    for text in (shown["id"], failure["id"], failure["message"]):
        assert text.isprintable()
        assert len(text) <= 300
        assert "\u202e" not in text
    assert failure["command"] == "cutstream dead-letters list --code invalid_request"


@pytest.mark.parametrize("id", ["order-4711", "photos/chair 1.jpg", "photos/chair.jpg", "cutout.requests-0-17"])
def test_a_command_to_paste_names_only_plain_ids(id: str) -> None:
    command = Failure(id, 0.0, "invalid_request", "request").command
    assert command == (
        "cutstream dead-letters list --code invalid_request" if " " in id else f"cutstream dead-letters show {id}"
    )


def test_failures_and_photos_are_bounded(page: ServedPage) -> None:
    for number in range(1000):
        page.recent.add_failure(f"order-{number}", 0.0, "invalid_request", "request", "")
    assert len(page.recent.failures.after(0)) == MOST_FAILURES


def test_other_workers_have_rows_of_their_own() -> None:
    with served_page() as other_page, served_page(others=(other_page.netloc,)) as page:
        assert len(json.loads(get(page, "/view.json")[1])["workers"]) == 2
        with Watcher(page) as watcher:
            until = monotonic() + 10
            while "404" not in (state := watcher.wait_for("view")["workers"][1]["state"]):
                assert monotonic() < until
        assert state == "answers 404 at /metrics: is it a worker?"


def test_a_program_has_the_numbers_of_the_others_without_a_browser_and_several_share_one_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def noted(address: str, token: SecretStr | None, clock: Clock) -> Scrape:
        asked.append(address)
        return scrape(address, token, clock)

    monkeypatch.setattr("cutstream.watching.scraping.scrape", noted)
    with serving_metrics(3) as other:
        sampling = Sampling(None, "", SystemClock(), (other, "127.0.0.1:1"), SecretStr(TOKEN))
        assert sampling.view().workers[0].state == "has not answered yet"
        assert asked == []
        with ThreadPoolExecutor(8) as pool:
            views = list(pool.map(lambda _: sampling.asked_view(), range(8)))
        assert [view.statuses for view in views] == [{"ok": 3}] * 8
        assert views[0].trouble == "1 of 2 workers away"
        assert sorted(asked) == sorted([other, "127.0.0.1:1"])


def test_a_worker_that_never_answers_holds_up_no_program_for_long() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sampling = Sampling(None, "", SystemClock(), (f"127.0.0.1:{silent.getsockname()[1]}",))
        began = monotonic()
        (worker,) = sampling.asked_view().workers
        assert monotonic() - began < 6
        assert worker.away


def test_a_page_without_a_worker_of_its_own_adds_up_the_others() -> None:
    """As in a service that mounts it: below a path, with the numbers of workers that are elsewhere."""
    with serving_metrics(3) as one, serving_metrics(4) as two:
        recent = Recent(shows_photos=False)
        live = LivePage(Sampling(None, "", SystemClock(), (one, two), SecretStr(TOKEN)), recent)
        app = site([Mount("/tools/live", routes=live.routes)], None, CONTENT_SECURITY)
        server = WebServer(app, listen("127.0.0.1", 0, "page"), "page", on_close=live.close)
        page = ServedPage(f"{server.start()}/", Metrics(), recent)
        try:
            assert get(page, "/tools/live/")[0] == 200
            assert get(page, "/tools/live/style.css")[0] == 200
            with Watcher(page, path="/tools/live/events") as watcher:
                until, view = monotonic() + 10, watcher.wait_for("view")
                while not all(worker["well"] for worker in view["workers"]):
                    assert monotonic() < until
                    view = watcher.wait_for("view")
            assert [worker["address"] for worker in view["workers"]] == [one, two]
            assert view["statuses"] == {"ok": 7}
        finally:
            server.close()


@contextmanager
def serving_metrics(done: int) -> Iterator[str]:
    metrics = Metrics()
    metrics.requests.labels("fast", "ok", "").inc(done)
    health = HealthServer("127.0.0.1", 0, metrics, dict, dict, SecretStr(TOKEN))
    try:
        yield health.start().removeprefix("http://")
    finally:
        health.close()


def test_a_thousand_slow_connections_keep_nobody_from_watching(page: ServedPage) -> None:
    slow = []
    for number in range(1000):
        client = socket.create_connection(page.netloc.split(":"), timeout=10)  # type: ignore[arg-type]
        slow.append(client)
        with suppress(OSError):  # it may be closed for the next ones already
            client.sendall(b"GET /events HTTP/1.1\r\nHost: " if number % 2 else b"")
    try:
        with Watcher(page) as watcher:
            assert watcher.event()[0] == "hello"
    finally:
        for client in slow:
            client.close()


def test_the_registry_and_its_text_say_the_same() -> None:
    metrics = Metrics()
    busy(metrics)
    work(metrics)
    text = read_exposition(metrics.exposition()[1].decode())
    own = read_registry(metrics.registry)
    moving = {name for name in text.series if name.startswith("process_") or name.endswith("_created")}
    assert {n: s for n, s in own.series.items() if n not in moving and not n.endswith("_created")} == {
        n: s for n, s in text.series.items() if n not in moving
    }

"""The live page in a real Chromium, with numbers of our own making. tests/e2e/test_live_page.py has a real worker's."""

from __future__ import annotations

from collections.abc import Iterator
from time import time
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import CHROMIUM, DESKTOP, MISSING, NARROW, PHONE, chromium, opened, violations
from tests.support.live_page import ServedPage, busy, photo, served_page, work
from tests.support.prefix_proxy import proxied

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason=MISSING)]

TOKEN = "0123456789abcdef"
HOSTILE = ["<img src=x onerror=alert(1)>", "a\u202egnp.exe", "\u05d0" * 50, "x" * 5000, "</li></ol><h1>owned"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def served() -> Iterator[ServedPage]:
    with served_page() as page:
        busy(page.metrics)
        for number in range(5):
            page.recent.photos.add(photo(f"photos/chair-{number}.jpg", 1_790_000_000 + number, number))
        page.recent.add_failure("order-1", 1_790_000_000, "failed_image_download", "fetch", "no such file")
        yield page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_is_accessible(browser: Browser, served: ServedPage, scheme: Any, size: tuple[int, int]) -> None:
    with opened(browser, served.address, size, color_scheme=scheme) as page:
        expect(page.locator("#state")).to_have_text("live")
        expect(page.locator("#photos li")).to_have_count(5)
        assert violations(page) == []


def test_the_numbers_move_and_the_bottleneck_is_named(browser: Browser, served: ServedPage) -> None:
    with opened(browser, served.address) as page:
        expect(page.locator("#lag")).to_have_text("1,282")
        expect(page.locator("#done")).to_have_text("462")
        expect(page.locator("tr.bottleneck th")).to_have_text("segment")
        expect(page.locator("tr.bottleneck .tag")).to_have_text("bottleneck")
        work(served.metrics)
        expect(page.locator("#done")).to_have_text("487")
        expect(page.locator("#p50")).to_have_text("21 s")
        assert page.title().endswith("1,282 waiting – cutstream live")
        expect(page.locator("#workers tr")).to_have_count(1)
        expect(page.locator("#workers td.good")).to_have_text("ready")


def test_a_new_photo_takes_the_place_of_the_oldest_and_nothing_moves(browser: Browser, served: ServedPage) -> None:
    for number in range(5, 12):
        served.recent.photos.add(photo(f"photos/chair-{number}.jpg", 1_790_000_000 + number, number))
    with opened(browser, served.address) as page:
        expect(page.locator("#photos li")).to_have_count(12)
        places = "[...document.querySelectorAll('section')].map(s => s.getBoundingClientRect().top)"
        before = page.evaluate(places)
        served.recent.photos.add(photo("photos/new.jpg", 1_790_000_099))
        expect(page.locator("#photos li").first).to_contain_text("photos/new.jpg")
        expect(page.locator("#photos li")).to_have_count(12)
        assert page.evaluate(places) == before
        shown = page.locator("#photos img").evaluate_all("images => images.map(i => [i.complete, i.naturalWidth])")
        assert shown == [[True, 160]] * 24


def test_an_empty_page_says_what_to_do(browser: Browser) -> None:
    with served_page() as served, opened(browser, served.address) as page:
        expect(page.locator("#empty")).to_be_visible()
        expect(page.locator("#empty")).to_contain_text("cutstream submit photos/")
        expect(page.locator("#no-failures")).to_be_visible()
        assert violations(page) == []


def test_it_links_to_the_gateways_page_if_there_is_one(browser: Browser) -> None:
    with served_page() as served, opened(browser, served.address) as page:
        expect(page.locator("#state")).to_have_text("live")
        expect(page.locator("#links")).to_be_hidden()
    with served_page(gateway="http://127.0.0.1:8080/") as served, opened(browser, served.address) as page:
        expect(page.get_by_role("link", name="Cut out photos")).to_have_attribute("href", "http://127.0.0.1:8080/")
        assert violations(page) == []


@pytest.mark.parametrize("id", HOSTILE, ids=range(len(HOSTILE)))
def test_what_strangers_write_stays_text(browser: Browser, served: ServedPage, id: str) -> None:
    served.recent.photos.add(photo(id, 1_790_000_050))
    served.recent.add_failure(id, 1_790_000_050, "invalid_request", "request", f"bad: {id}")
    with opened(browser, served.address, NARROW) as page:
        expect(page.locator("#failures li")).to_have_count(2)
        shown = page.locator("#failures li").first.locator("bdi").first.text_content() or ""
        assert shown[:20] == id.replace("\u202e", "\\u202e")[:20]
        assert page.locator("#failures img, #failures h1, #failures script").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW[0]


@pytest.mark.parametrize(("width", "zoom"), [(320, 1), (640, 2), (1280, 4)])
def test_it_fits_a_narrow_window_and_a_large_zoom(browser: Browser, served: ServedPage, width: int, zoom: int) -> None:
    """A window of 1,280 px at 400 % is one of 320 px."""
    with opened(browser, served.address, (width // zoom, 640), device_scale_factor=zoom) as page:
        expect(page.locator("#state")).to_have_text("live")
        assert page.evaluate("document.documentElement.scrollWidth") <= width // zoom
        page.emulate_media(reduced_motion="reduce")
        assert page.evaluate("getComputedStyle(document.querySelector('.moving')).transitionDuration") in ("0s", "")


def test_the_keyboard_reaches_everything_that_does_something(browser: Browser, served: ServedPage) -> None:
    with opened(browser, served.address) as page:
        expect(page.locator("#failures button")).to_have_count(1)
        reached = []
        for _ in range(4):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        assert reached == ["skip", "pause", "scroll", ""]
        page.keyboard.press("Enter")
        expect(page.locator("#failures button")).to_have_text(["Copied"])


def test_pause_stops_everything_and_the_next_press_goes_on(browser: Browser, served: ServedPage) -> None:
    with opened(browser, served.address) as page:
        expect(page.locator("#state")).to_have_text("live")
        page.get_by_role("button", name="Pause").click()
        expect(page.locator("#state")).to_contain_text("paused at")
        served.metrics.backlog.set(0)
        served.metrics.requests.labels("fast", "ok", "").inc(1000)
        page.wait_for_timeout(1500)
        expect(page.locator("#done")).to_have_text("462")
        assert not served.recent.watched
        page.get_by_role("button", name="Pause").click()
        expect(page.locator("#done")).to_have_text("1,462")


def test_the_address_brings_the_token_which_then_leaves_the_address(browser: Browser) -> None:
    with served_page(TOKEN) as served, opened(browser, f"{served.address}#token={TOKEN}") as page:
        expect(page.locator("#state")).to_have_text("live")
        assert page.url == served.address
        page.reload()
        expect(page.locator("#state")).to_have_text("live")


def test_without_the_token_it_asks_for_it(browser: Browser) -> None:
    """A refused request is an error in the console of Chromium, so the console is not looked at here."""
    context = browser.new_context()
    with served_page(TOKEN) as served:
        page = context.new_page()
        page.goto(served.address)
        expect(page.locator("#login")).to_be_visible()
        assert violations(page) == []
        page.locator("#token").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#login")).to_be_visible()
        page.locator("#token").fill(TOKEN)
        page.keyboard.press("Enter")
        expect(page.locator("#state")).to_have_text("live")
        expect(page.locator("#login")).to_be_hidden()
        context.close()


def test_a_lost_connection_is_said_and_found_again(browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    with served_page() as served:
        port = int(served.netloc.rpartition(":")[2])
        page.goto(served.address)
        expect(page.locator("#state")).to_have_text("live")
    expect(page.locator("#state")).to_contain_text("connection lost, last seen")
    with served_page(port=port):
        expect(page.locator("#state")).to_have_text("live", timeout=20_000)
    context.close()


def test_it_works_behind_a_prefix_of_a_reverse_proxy(browser: Browser, served: ServedPage) -> None:
    with proxied(served.netloc, "/tools/cutouts") as address, opened(browser, address) as page:
        expect(page.locator("#state")).to_have_text("live")
        expect(page.locator("#photos li")).to_have_count(5)
        work(served.metrics)
        expect(page.locator("#done")).to_have_text("487")


def test_trouble_of_a_worker_is_at_the_top_and_in_the_title(browser: Browser) -> None:
    with served_page(others=("127.0.0.1:1",)) as served, opened(browser, served.address, PHONE) as page:
        busy(served.metrics)
        expect(page.locator("#state")).to_have_text("1 of 2 workers away")
        expect(page.locator("#state")).to_have_attribute("data-is", "trouble")
        assert page.title().startswith("1 of 2 workers away, ")
        served.metrics.halted.labels("poison_limit").set(1)
        expect(page.locator("#state")).to_have_text("1 of 2 workers away, 1 halted")
        expect(page.locator("#workers td.bad")).to_have_count(2)
        expect(page.locator("#lag")).to_have_text("–")
        expect(page.locator("#oldest")).to_have_text("–")
        away = page.locator("#workers td.bad").last.bounding_box()
        assert away is not None
        assert away["y"] < 2000
        assert violations(page) == []


def test_what_is_retried_later_is_told_apart(browser: Browser) -> None:
    with served_page() as served, opened(browser, served.address) as page:
        served.metrics.lag.labels("cutout.requests.retry", "0").set(2)
        expect(page.locator("#later")).to_have_text("and 2 retried later")
        expect(page.locator("#lag")).to_have_text("0")


def test_equal_failures_are_one_entry_with_the_last_id(browser: Browser, served: ServedPage) -> None:
    for number in range(3):
        served.recent.add_failure(f"again-{number}", 1_790_000_001, "image_not_found", "fetch", "no answer")
    with opened(browser, served.address) as page:
        expect(page.locator("#failures li")).to_have_count(2)
        first = page.locator("#failures li").first
        expect(first).to_contain_text("3 times, last:")
        expect(first.locator("bdi").first).to_have_text("again-2")
        expect(first.locator(".command code")).to_have_text("cutstream dead-letters show again-2")


def test_a_time_of_another_day_has_its_date(browser: Browser, served: ServedPage) -> None:
    with opened(browser, served.address) as page:
        expect(page.locator("#failures time")).to_contain_text("2026, ")
        expect(page.locator("#failures time")).to_have_attribute("datetime", "2026-09-21T14:13:20.000Z")
        served.recent.add_failure("now", time(), "image_not_found", "fetch", "")
        expect(page.locator("#failures li")).to_have_count(2)
        assert "," not in (page.locator("#failures time").first.text_content() or "")


@pytest.mark.parametrize("width", [320, 1280])
def test_a_worker_with_absurd_metrics_makes_nothing_wider(browser: Browser, width: int) -> None:
    with served_page() as served, opened(browser, served.address, (width, 800)) as page:
        metrics = served.metrics
        for gauge in (metrics.in_flight, metrics.window, metrics.backlog, metrics.oldest_age, metrics.decoded_bytes):
            gauge.set(1e300)
        metrics.lag.labels("cutout.requests", "0").set(1e300)
        metrics.stage_photos.labels("segment", "working").set(1e300)
        metrics.info.labels("x", "y", "z" * 500).set(1)
        metrics.waiting.labels("w" * 500).set(1)
        metrics.requests.labels("fast", "failed", "c" * 500).inc(1e300)
        metrics.requests.labels("fast", "s" * 500, "").inc()
        expect(page.locator("#lag")).to_have_text("≥\u00a010⁹")
        expect(page.locator("#codes")).to_contain_text("c…")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        scroll = page.locator(".scroll").evaluate("element => [element.scrollWidth, element.clientWidth]")
        assert width > 320 or scroll[0] <= scroll[1]

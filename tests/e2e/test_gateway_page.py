"""The gateway's page on the real stack: a browser, a gateway, Kafka, Triton and a worker, each a process of its own."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from cutstream.clients.objects import files
from cutstream.settings import Settings
from tests.e2e.conftest import DATA
from tests.support.browser import CHROMIUM, MISSING, chromium, opened
from tests.support.gateways import gateway_process, with_gateway
from tests.support.workers import Results, workers

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.kafka,
    pytest.mark.triton,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason=MISSING),
    pytest.mark.timeout(240),
]


def test_photos_go_in_and_cutouts_come_out(settings: Settings, tmp_path: Path) -> None:
    """Three photos and a damaged one; the page is closed in the middle; the zip holds the worker's very bytes."""
    chosen = []
    for name in ("astronaut", "chelsea", "coffee"):
        chosen.append(tmp_path / f"{name}.jpg")
        Image.open(DATA / f"{name}.png").convert("RGB").save(chosen[-1], quality=92)
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(chosen[0].read_bytes()[:5000])
    complete = with_gateway(settings, tmp_path)
    with (
        workers(complete, tmp_path),
        gateway_process(complete, tmp_path) as gateway,
        Results(complete.kafka) as results,
        chromium() as browser,
        opened(browser, f"{gateway.address}/") as page,
    ):
        page.locator("#files").set_input_files([*chosen, damaged])
        page.get_by_role("button", name="Cut out 4 photos").click()
        expect(page.locator('[data-state="new"], [data-state="queued"], [data-state="sending"]')).to_have_count(
            0, timeout=20_000
        )
        page.reload()
        expect(page.locator('[data-state="ok"]')).to_have_count(3, timeout=60_000)
        expect(page.locator('[data-state="failed"] .status')).to_have_text("The file is damaged.")
        expect(page.locator(".has-after")).to_have_count(3, timeout=20_000)
        page.locator(".card").first.click()
        expect(page.locator("#compare")).to_have_attribute("data-shows", "both")
        page.locator("#split").fill("20")
        page.keyboard.press("Escape")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download all 3 as zip").click()
        download.value.save_as(tmp_path / "cutouts.zip")
        found = zipfile.ZipFile(tmp_path / "cutouts.zip")
        assert sorted(found.namelist()) == ["astronaut.png", "chelsea.png", "coffee.png"]
        made = results.wait_for(4, 30)
    objects = [stored for result in made for stored in result.objects]
    stored = {Path(files.path_of(one.uri)).read_bytes() for one in objects}
    assert len(made) == 4
    assert {found.read(name) for name in found.namelist()} == stored

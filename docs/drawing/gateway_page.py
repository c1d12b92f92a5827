"""Picture the gateway's page for docs/page.md: `python -m docs.drawing.gateway_page ADDRESS PHOTOS FOLDER`.

`make up` prints the address. PHOTOS is a folder with a dozen photos. Needs Chromium.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

_DESKTOP, _PHONE = (1280, 900), (390, 844)
_REST_MS = 1500  # until thumbnails are there
_MANY, _SOME = 5, 6


def main(address: str, photos: Path, folder: Path) -> None:
    chromium = next(
        found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))
    )
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        page = _opened(browser, address, _DESKTOP)
        _save(page, folder / "page-empty.png")
        _begin(page, photos, times=_MANY)
        page.locator('[data-state="ok"]').nth(_SOME).wait_for(timeout=60_000)
        _save(page, folder / "page-working.png", rest_ms=500)
        _await_end(page)
        page.locator("#clear").click()
        _begin(page, photos)
        _await_end(page)
        _save(page, folder / "page-done.png")
        page.emulate_media(color_scheme="dark")
        _save(page, folder / "page-dark.png")
        page.emulate_media(color_scheme="light")
        page.locator(".card").first.click()
        _save(page, folder / "page-photo.png")
        page = _opened(browser, address, _PHONE)
        _begin(page, photos)
        _await_end(page)
        _save(page, folder / "page-phone.png")
        browser.close()


def _opened(browser: Browser, address: str, size: tuple[int, int]) -> Page:
    page = browser.new_context(viewport={"width": size[0], "height": size[1]}).new_page()
    page.goto(address)
    page.locator("#drop").wait_for()
    return page


def _begin(page: Page, photos: Path, times: int = 1) -> None:
    page.locator("#files").set_input_files(sorted(photos.iterdir()) * times)
    page.locator("#go").click()


def _await_end(page: Page) -> None:
    page.locator("#stop").wait_for(state="hidden", timeout=120_000)


def _save(page: Page, path: Path, rest_ms: int = _REST_MS) -> None:
    page.mouse.move(0, 0)
    page.wait_for_timeout(rest_ms)
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        picture.convert("RGB").quantize(256).save(path, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))

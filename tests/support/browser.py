"""A real Chromium, which the machine has, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((found for name in _NAMES if (found := shutil.which(name))), None)
MISSING = "no Chromium on this machine: install Debian's package chromium"

DESKTOP, PHONE, NARROW = (1280, 900), (390, 844), (320, 640)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser. As root it runs without its sandbox, which refuses root."""
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, address: str, size: tuple[int, int] = DESKTOP, **options: Any) -> Iterator[Page]:
    """Open a page in a window of its own. Fails if its console has an error, or if it has asked another server.

    What a policy refuses (CSP) is such an error.
    """
    complaints: list[str] = []
    asked: list[str] = []
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
    try:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        yield page
        origin = "/".join(address.split("/")[:3])
        assert [url for url in asked if not url.startswith((origin, "data:", "blob:"))] == []
        assert complaints == []
    finally:
        context.close()


def violations(page: Page) -> list[tuple[str, str]]:
    """Return what axe-core finds wrong."""
    found = Axe().run(page).response["violations"]
    return [(rule["id"], node["html"]) for rule in found for node in rule["nodes"]]

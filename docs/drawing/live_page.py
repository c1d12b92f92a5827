"""Picture the live page of a running worker for docs/watching.md: `python -m docs.drawing.live_page ADDRESS FOLDER`.

`make up` prints the address. Submit some hundred photos first, so that there is something to see. Needs Chromium.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

_SIZES = {"light": (1280, 1000, "light"), "dark": (1280, 1000, "dark"), "phone": (390, 844, "light")}
_PHOTOS = 12
_REST_MS = 3000  # until there is a rate, and the bars stand still


def main(address: str, folder: Path) -> None:
    chromium = next(
        found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))
    )
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        pages = []
        for name, (width, height, scheme) in _SIZES.items():
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
            )
            page = context.new_page()
            page.goto(address)
            pages.append((name, page))
        for _, page in pages:
            page.locator("#photos li").nth(_PHOTOS - 1).wait_for(timeout=120_000)
        pages[0][1].wait_for_timeout(_REST_MS)
        for name, page in pages:
            page.screenshot(path=folder / f"live-page-{name}.png", full_page=name != "phone")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

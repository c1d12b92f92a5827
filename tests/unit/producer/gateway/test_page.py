from __future__ import annotations

import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from cutstream.clock import ManualClock, SystemClock
from producer.gateway.keys import create_key
from producer.gateway.load import Load

STATIC = Path(str(files("producer.gateway.page"))) / "static"


def test_every_part_of_the_page_is_served_and_nothing_comes_from_elsewhere(serve: Callable) -> None:
    client = serve().client
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "img-src 'self' blob:" in page.headers["content-security-policy"]
    assert "script-src 'self';" in page.headers["content-security-policy"]
    for part in re.findall(r'(?:src|href)="([^"#.][^"]*)"', page.text):
        assert client.get(f"/{part}").status_code == 200, part
    for module in STATIC.glob("*.js"):
        for imported in re.findall(r'from "\./([^"]+)"', module.read_text()):
            assert client.get(f"/{imported}").status_code == 200, imported
    for file in STATIC.iterdir():
        text = file.read_text()
        assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\(|style=\"|<script>", text), file
        assert set(re.findall(r"https?://[\w.]+", text)) <= {"https://example.org", "http://www.w3.org"}, file


def test_it_says_what_the_service_takes_and_how_busy_it_is(serve: Callable) -> None:
    served = serve(max_source_bytes=2_000_000)
    found = served.client.get("/status.json").json()
    assert (found["authorized"], found["problem"], found["needs_key"]) == (True, "", False)
    assert (found["max_photo_bytes"], found["default_profile"]) == (2_000_000, "fast")
    assert (found["waiting"], found["wait_s"]) == (0, None)
    served.stream.load.note_lag(20, 100)
    served.stream.load.note_results(60)
    found = served.client.get("/status.json").json()
    assert found["waiting"] == 120
    assert found["wait_s"] == 120 / found["photos_per_second"]


def test_without_a_key_it_says_only_that_it_wants_one(serve: Callable, tmp_path: Path) -> None:
    key = create_key(tmp_path / "keys.toml", "shop", SystemClock())
    client = serve(keys=tmp_path / "keys.toml").client
    assert client.get("/").status_code == 200
    assert client.get("/status.json").json() == {"authorized": False}
    assert client.get("/status.json", headers={"X-Api-Key": "cs_no"}).json() == {"authorized": False}
    assert client.get("/status.json", headers={"X-Api-Key": key}).json()["needs_key"] is True


def test_the_pace_is_that_of_the_last_seconds() -> None:
    clock = ManualClock()
    load = Load(clock)
    assert load.rate() == 0
    for _ in range(5):
        load.note_results(4)
        clock.sleep(1)
    assert load.rate() == 4
    clock.sleep(30)
    assert load.rate() == 0

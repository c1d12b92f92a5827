"""Many hosts that answer once and then drip: a window's threads, real time, and the default limits."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from consumer.resources.sources import Sources
from cutstream.clock import SystemClock
from cutstream.errors import CutstreamError, SourceFailed, SourceUnavailable
from tests.support.group import wait_until

WINDOW, HOSTS, EACH, GOOD = 32, 57, 8, 20


class Objects:
    """`first` is 404 at once, `good` a photo, and all else nothing until the time limit."""

    def fetch(self, uri: str, limit_s: float | None = None) -> bytes:
        if uri.endswith("first"):
            raise SourceFailed("404")
        if uri.endswith("good"):
            return b"photo"
        time.sleep(min(limit_s or 10.0, 10.0))
        raise SourceUnavailable("timed out")


def test_many_hosts_that_answer_once_and_then_drip_hold_up_a_known_host_for_one_download() -> None:
    objects: Any = Objects()
    sources, addresses, done = Sources(objects, WINDOW, SystemClock()), SimpleQueue[str](), []

    def work() -> None:
        while address := addresses.get():
            with suppress(CutstreamError), sources.admission([address], False, ()):
                sources.fetch(address)
                done.append(address)

    for host in range(HOSTS):
        with suppress(SourceFailed):
            sources.fetch(f"http://203.0.113.{host}/first")
    for _ in range(3):
        sources.fetch("http://203.0.113.200/good")
    for _ in range(WINDOW):
        threading.Thread(target=work, daemon=True).start()
    for number in range(HOSTS * EACH):
        addresses.put(f"http://203.0.113.{number % HOSTS}/drip")
    for _ in range(GOOD):
        addresses.put("http://203.0.113.200/good")
    wait_until(lambda: len(done) == GOOD, "the good ones wait", 30)  # all in turn take 140 s
    for _ in range(WINDOW):
        addresses.put("")

"""A live page without a worker, whose numbers, photos and failures a test makes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
from pydantic import SecretStr

from cutstream.clock import SystemClock
from cutstream.images.encode import encode
from cutstream.metrics import Metrics
from cutstream.watching.page import LivePage, Sampling
from cutstream.watching.recent import Photo, Recent
from cutstream.web import WebServer, allowed_hosts, listen

_SECONDS = {"fetch": 0.001, "decode": 0.016, "segment": 1.1, "refine": 0.029, "encode": 0.013, "store": 0.025}


@dataclass
class ServedPage:
    """`address` ends in `/`."""

    address: str
    metrics: Metrics
    recent: Recent

    @property
    def netloc(self) -> str:
        return urlsplit(self.address).netloc


@contextmanager
def served_page(
    token: str | None = None, shows_photos: bool = True, others: tuple[str, ...] = (), port: int = 0, gateway: str = ""
) -> Iterator[ServedPage]:
    metrics, recent = Metrics(), Recent(shows_photos)
    sampling = Sampling(metrics, "127.0.0.1:9100", SystemClock(), others)
    page = LivePage(sampling, recent, SecretStr(token) if token else None, gateway)
    hosts = None if token else allowed_hosts("127.0.0.1")
    server = WebServer(page.app(hosts), listen("127.0.0.1", port, "page"), "page", on_close=page.close)
    try:
        yield ServedPage(f"{server.start()}/", metrics, recent)
    finally:
        server.close()


def busy(metrics: Metrics) -> None:
    """Make numbers of a worker with a lot to do, most of it in `segment`."""
    metrics.window.set(32)
    metrics.in_flight.set(31)
    metrics.info.labels("openvino", "auto", "cpu").set(1)
    metrics.backlog.set(1250)
    metrics.lag.labels("cutout.requests", "0").set(640)
    metrics.lag.labels("cutout.requests", "1").set(642)
    metrics.oldest_age.set(16)
    metrics.decoded_bytes.set(163e6)
    metrics.requests.labels("fast", "ok", "").inc(462)
    metrics.requests.labels("fast", "failed", "invalid_file_type").inc(10)
    metrics.requests.labels("fast", "expired", "expired").inc(3)
    for name, waiting, working in (("decode", 0, 2), ("segment", 18, 8), ("compose", 1, 1), ("store", 0, 1)):
        metrics.stage_photos.labels(name, "waiting").set(waiting)
        metrics.stage_photos.labels(name, "working").set(working)


def work(metrics: Metrics, photos: int = 25) -> None:
    """Finish some photos."""
    metrics.requests.labels("fast", "ok", "").inc(photos)
    for number in range(photos):
        metrics.request_age.observe(15 + number / 2)
        for stage, seconds in (
            ("fetch", 0.001),
            ("decode", 0.016),
            ("segment", 1.1),
            ("refine", 0.029),
            ("store", 0.025),
        ):
            metrics.stage_seconds.labels(stage).observe(seconds)


def photo(id: str, at_s: float = 1_790_000_000.0, hue: int = 0) -> Photo:
    """Return a finished photo: a disc on a ground of some colour, and the disc alone."""
    y, x = np.mgrid[:120, :160]
    inside = ((x - 80) ** 2 + (y - 60) ** 2 < 45**2)[..., None]
    colour = np.array([(40 + hue * 37) % 256, (120 + hue * 61) % 256, (200 - hue * 13) % 256], np.uint8)
    pixels = np.where(inside, colour, np.stack([x, y + 60, x // 2 + 90], -1).astype(np.uint8)).astype(np.uint8)
    cutout = np.concatenate([pixels, (inside * 255).astype(np.uint8)], -1)
    return Photo(id, at_s, "fast", 1.2, 1600, 1200, encode(pixels, "jpeg", 75), encode(cutout, "webp", 75))

"""Measure what the live page costs a worker: `python -m benchmarks.live_page [--seconds 60]`.

Without Kafka and Triton: this process serves the page of a worker's metrics and does nothing else, so the processor
time that it takes is the page's. Those who watch are processes of their own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from contextlib import ExitStack
from itertools import product

import numpy as np
from rich.console import Console

from benchmarks.machine import record
from consumer.previews import Previews
from cutstream.arrays.device import open_device
from cutstream.clock import SystemClock
from cutstream.metrics import Metrics
from cutstream.watching.page import LivePage, Sampling
from cutstream.watching.page.stream import MOST_WATCHERS
from cutstream.watching.recent import Recent
from cutstream.watching.view import STAGES
from cutstream.web import WebServer, allowed_hosts, listen

WATCH = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1])
connection.request("GET", "/events")
answer = connection.getresponse()
while answer.read1(65536):
    pass
"""
PREVIEWS = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    seconds = parser.parse_args().seconds
    metrics, recent = used_metrics(), Recent(shows_photos=True)
    page = LivePage(Sampling(metrics, "127.0.0.1:9100", SystemClock()), recent)
    listening = listen("127.0.0.1", 0, "page")
    server = WebServer(page.app(allowed_hosts("127.0.0.1")), listening, "page", on_close=page.close)
    netloc = server.start().removeprefix("http://")
    try:
        shares = {f"share_of_a_core_{count}_watchers": share(netloc, count, seconds) for count in (0, 1, MOST_WATCHERS)}
    finally:
        server.close()
    line = record("live_page", seconds=seconds, preview_ms=previews_ms(), **shares)
    Console().print_json(data=line)


def share(netloc: str, watchers: int, seconds: float) -> float:
    """Return the share of a core that this process takes while so many watch."""
    with ExitStack() as watching:
        for _ in range(watchers):
            process = subprocess.Popen([sys.executable, "-c", WATCH, netloc])
            watching.callback(process.wait)
            watching.callback(process.kill)
        time.sleep(2)
        began = time.process_time()
        time.sleep(seconds)
        return round((time.process_time() - began) / seconds, 5)


def used_metrics() -> Metrics:
    """Return metrics with as many series as those of a worker that has worked for a while."""
    metrics = Metrics()
    for profile, code in product(("fast", "general", "precise"), ("", "invalid_request", "failed_image_download")):
        metrics.requests.labels(profile, "failed" if code else "ok", code).inc(1000)
    for stage in STAGES:
        metrics.stage_seconds.labels(stage).observe(0.02)
        metrics.stage_wait.labels(stage).inc(1)
        for state in ("waiting", "working", "retrying"):
            metrics.stage_photos.labels(stage, state).set(1)
    for partition in range(12):
        metrics.lag.labels("cutout.requests", str(partition)).set(partition)
        metrics.answered_offset.labels("cutout.requests", str(partition)).set(partition)
    for seconds in (0.1, 1.0, 10.0):
        metrics.request_age.observe(seconds)
        metrics.inference_seconds.labels("fast").observe(seconds)
    metrics.window.set(32)
    return metrics


def previews_ms() -> dict[str, float]:
    """Return the processor time for the small pictures of a photo and its cutout, by the photo's size."""
    previews = Previews(Recent(shows_photos=True), open_device("cpu"), SystemClock())
    times = {}
    for width, height in ((640, 480), (1600, 1200), (4000, 3000)):
        noise = np.random.default_rng(1).integers(0, 256, (height // 8, width // 8, 4), np.uint8)
        cutout = np.ascontiguousarray(noise.repeat(8, 0).repeat(8, 1))
        photo = np.ascontiguousarray(cutout[:, :, :3])
        began = time.process_time()
        for _ in range(PREVIEWS):
            previews.small(photo)
            previews.small(cutout)
        times[f"{width}x{height}"] = round((time.process_time() - began) / PREVIEWS * 1000, 2)
    return times


if __name__ == "__main__":
    main()

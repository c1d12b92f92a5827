"""Check that the worker's memory does not grow: `python -m benchmarks.memory`.

It sends 2,000 requests of mixed sizes and compares the worker's resident memory after the first 200 with that at the
end. Both are taken at rest, when the worker has returned free memory to the system. It also records the peaks.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from rich.console import Console

import consumer
from benchmarks.machine import record, rss_bytes
from benchmarks.photos import make_photos, photo_settings
from cutstream.contract.messages import Request
from cutstream.settings import Settings
from deploy.local.running import running_stack
from deploy.local.state import throwaway
from export.repository.render import render
from producer.following import Batch, RequestFollower

FIRST, STEP = 200, 200
REST_S = 35.0  # the worker returns free memory every 30 s
SIZES = ((1500, 1000), (1000, 1500), (800, 600), (2400, 1600))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--requests", type=int, default=2000)
    count = arguments.parse_args().requests
    with tempfile.TemporaryDirectory(prefix="cutstream-bench-") as name:
        folder = Path(name)
        settings = photo_settings(folder)
        addresses = [a for size in SIZES for a in make_photos(folder / f"{size[0]}x{size[1]}", 5, size)]
        with (
            throwaway(settings) as own,
            running_stack(_rendered(own), consumer.COMMAND) as stack,
            RequestFollower(stack.settings.kafka) as follower,
        ):
            peak_mb, rest_mb = {}, {}
            for done in range(STEP, count + 1, STEP):
                peak_mb[done] = 0.0

                def record_peak(batch: Batch, done: int = done) -> None:
                    peak_mb[done] = max(peak_mb[done], _rss_mb()["worker"])

                batch = follower.follow(
                    [Request(id=f"m-{done - n}", image=addresses[n % len(addresses)]) for n in range(STEP)],
                    on_progress=record_peak,
                )
                if batch.count("ok") != STEP:
                    raise SystemExit(f"{STEP - batch.count('ok')} of {STEP} requests failed")
                Console().print(done, peak_mb[done])
                if done in (FIRST, count):
                    time.sleep(REST_S)
                    rest_mb[done] = _rss_mb()
                    Console().print("at rest", rest_mb[done])
    growth = rest_mb[count]["worker"] / rest_mb[FIRST]["worker"] - 1
    record("memory", requests=count, peak_mb=peak_mb, rest_mb=rest_mb, worker_growth_after_first_200=round(growth, 4))
    Console().print(f"the worker's memory changed by {growth:+.1%} after the first {FIRST} of {count} requests")


def _rss_mb() -> dict[str, float]:
    return {role: round(rss_bytes(role) / 1e6, 1) for role in ("worker", "decoders", "triton")}


def _rendered(settings: Settings) -> Settings:
    render(settings)
    return settings


if __name__ == "__main__":
    main()

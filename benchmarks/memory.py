"""Whether the worker's memory stays flat: 2,000 requests, resident memory after the first 200 against the end."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks import photos
from benchmarks.machine import record, rss_bytes
from cutstream.messages import Request
from cutstream.settings import ObjectSettings, Settings, load
from deploy.local.running import running_stack, throwaway
from export.repository import render
from producer.batch import Submission

FIRST, STEP = 200, 200
SIZES = ((1500, 1000), (1000, 1500), (800, 600), (2400, 1600))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--requests", type=int, default=2000)
    count = arguments.parse_args().requests
    with tempfile.TemporaryDirectory(prefix="cutstream-bench-") as name:
        folder = Path(name)
        objects = ObjectSettings(destination=(folder / "out").as_uri(), roots=(folder,))
        settings = load().model_copy(update={"objects": objects})
        addresses = [a for size in SIZES for a in photos.make(folder / f"{size[0]}x{size[1]}", 5, size)]
        with (
            throwaway(settings) as own,
            running_stack(_rendered(own)) as stack,
            Submission(stack.settings.kafka) as submission,
        ):
            rss_mb = {}
            for done in range(STEP, count + 1, STEP):
                batch = submission.run(
                    [Request(id=f"m-{done - n}", image=addresses[n % len(addresses)]) for n in range(STEP)]
                )
                if batch.count("ok") != STEP:
                    raise SystemExit(f"{STEP - batch.count('ok')} of {STEP} requests failed")
                rss_mb[done] = {role: round(rss_bytes(role) / 1e6, 1) for role in ("worker", "decoders", "triton")}
                Console().print(done, rss_mb[done])
    growth = rss_mb[count]["worker"] / rss_mb[FIRST]["worker"] - 1
    record("memory", requests=count, rss_mb=rss_mb, worker_growth_after_first_200=round(growth, 4))
    Console().print(f"the worker's memory changed by {growth:+.1%} after the first {FIRST} of {count} requests")


def _rendered(settings: Settings) -> Settings:
    render(settings)
    return settings


if __name__ == "__main__":
    main()

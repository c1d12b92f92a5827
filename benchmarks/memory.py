"""Whether the worker's memory stays flat: 2,000 requests of mixed sizes, resident memory after the first 200 against
the end, both at rest, when what is free has been given back; and the peaks on the way."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from rich.console import Console

import consumer
from benchmarks import photos
from benchmarks.machine import record, rss_bytes
from cutstream.contract.messages import Request
from cutstream.settings import ObjectSettings, Settings, load
from deploy.local.running import running_stack, throwaway
from export.repository.render import render
from producer.following import Batch, Submission

FIRST, STEP = 200, 200
REST_S = 35.0  # the worker gives back every 30 s
SIZES = ((1500, 1000), (1000, 1500), (800, 600), (2400, 1600))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--requests", type=int, default=2000)
    count = arguments.parse_args().requests
    with tempfile.TemporaryDirectory(prefix="cutstream-bench-") as name:
        folder = Path(name)
        objects = ObjectSettings(destination=(folder / "out").as_uri(), file_roots=(folder,))
        settings = load().model_copy(update={"objects": objects})
        addresses = [a for size in SIZES for a in photos.make(folder / f"{size[0]}x{size[1]}", 5, size)]
        with (
            throwaway(settings) as own,
            running_stack(_rendered(own), consumer.COMMAND) as stack,
            Submission(stack.settings.kafka) as submission,
        ):
            peak_mb, rest_mb = {}, {}
            for done in range(STEP, count + 1, STEP):
                peak_mb[done] = 0.0

                def watch(batch: Batch, done: int = done) -> None:
                    peak_mb[done] = max(peak_mb[done], _rss_mb()["worker"])

                batch = submission.run(
                    [Request(id=f"m-{done - n}", image=addresses[n % len(addresses)]) for n in range(STEP)], watch=watch
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

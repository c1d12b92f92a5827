"""Measure how long `cutstream up` takes to be ready, and what the idle stack costs: `python -m benchmarks.stack`."""

from __future__ import annotations

import time

from rich.console import Console

import consumer
from benchmarks.machine import Meter, record, rss_bytes
from cutstream.settings import Settings, load
from deploy.local.running import running_stack
from deploy.local.state import throwaway
from export.repository.render import render

SETTLE_S, IDLE_S = 10.0, 30.0


def main() -> None:
    with throwaway(load()) as settings:
        measure(settings)


def measure(settings: Settings) -> None:
    began = time.perf_counter()
    render(settings)
    with running_stack(settings, consumer.COMMAND):
        ready_s = time.perf_counter() - began
        time.sleep(SETTLE_S)
        meter = Meter()
        time.sleep(IDLE_S)
        idle = meter.read()
        roles = ("worker", "decoders", "triton", "kafka", "guards")
        line = record(
            "stack",
            ready_s=round(ready_s, 2),
            idle_share_of_a_core=round(idle.cpu_s / idle.wall_s, 4),
            idle_by_process={role: round(s / idle.wall_s, 4) for role, s in idle.by_process.items()},
            rss_mb={role: round(rss_bytes(role) / 1e6) for role in roles},
        )
    Console().print_json(data=line)


if __name__ == "__main__":
    main()

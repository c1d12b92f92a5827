"""Simulate the recorded runs of benchmarks.throughput, each with its own service times: `python -m benchmarks.replay`.

It needs no stack. Each clean line of throughput.jsonl that says what every process needed gives a line of
benchmarks/results/replay.jsonl, which is written anew: the rate with a backlog, and p50 and p95 at 70 % of the rate,
measured and simulated. The last line of folders.jsonl gives a rate, too, which is simulated with the service times of
deploy/capacity/measured.toml. Only one figure is common to all: the share of the worker's work that holds the
interpreter's lock, which was chosen so that the rates agree. The latencies were not used for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.machine import RESULTS, read_results
from benchmarks.throughput import OPEN_LOOP_S, OPEN_LOOP_SHARE
from deploy.capacity.measured import load
from deploy.capacity.simulation import run
from deploy.capacity.simulation.run import saturated_rate
from deploy.capacity.simulation.stream import Deployment, Stream
from deploy.capacity.simulation.worker import Work

MEGAPIXELS = 1.5
LOCKED_SHARE = 0.5
LEAST_LOOP_SHARE = 0.15  # of the worker's work: stages alone sometimes took more than they do in the worker
TRANSACTION_S = 0.03
LONGEST_POLL_S = 0.1
SEEDS = (1, 2, 3)
FILE = RESULTS / "replay.jsonl"


def main() -> None:
    replayed = [
        replay(line) for line in read_results("throughput") if "idle_share_of_machine" in line and not line["dirty"]
    ]
    replayed.append(replay_folders(read_results("folders")[-1]))
    FILE.write_text("".join(json.dumps(line) + "\n" for line in replayed))
    table = Table("commit", "profile", *replayed[0]["figures"])
    for line in replayed:
        table.add_row(line["commit"], line["profile"], *(f"{real} / {ours}" for real, ours in line["figures"].values()))
    Console().print(table)


def replay(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a recorded run, each as [measured, simulated]."""
    whole = {role: ms / 1000 for role, ms in line["whole_core_ms_by_process"].items()}
    deployment = Deployment(
        cores=line["machine"]["cores"],
        broker_s=whole["kafka"],
        client_s=whole["benchmark"],
        transaction_s=TRANSACTION_S,
    )
    work = work_of(line)
    rate = sum(saturated_rate(deployment, work, seed=seed) for seed in SEEDS) / len(SEEDS)
    gap_s = 1 / (line["images_per_second"] * OPEN_LOOP_SHARE)
    arrivals = [number * gap_s for number in range(int(OPEN_LOOP_S / gap_s))]
    runs = [Stream(deployment, work, seed=seed).run(arrivals) for seed in SEEDS]
    # The client writes what is due between two looks for results, which last up to the gap between two requests.
    late_s = min(gap_s, LONGEST_POLL_S) / 2
    p50, p95 = (sum(each.latency_s(share) + late_s for each in runs) / len(runs) * 1000 for share in (0.5, 0.95))
    return {
        **{name: line[name] for name in ("time", "commit", "machine", "profile")},
        "figures": {
            "rate": [line["images_per_second"], round(rate, 2)],
            "p50_ms": [line["p50_ms"], round(p50, 1)],
            "p95_ms": [line["p95_ms"], round(p95, 1)],
        },
    }


def replay_folders(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rate of the stream in a run of benchmarks.folders, which measured no service times of its own."""
    measured = load()
    deployment = run.on_one_machine(measured, line["machine"]["cores"])
    work = run.work_of(measured, MEGAPIXELS)
    rate = sum(saturated_rate(deployment, work, seed=seed) for seed in SEEDS) / len(SEEDS)
    return {
        **{name: line[name] for name in ("time", "commit", "machine")},
        "profile": "fast",
        "figures": {"rate": [round(median(line["stream_images_per_second"]), 2), round(rate, 2)]},
    }


def work_of(line: Mapping[str, Any]) -> Work:
    """Return the work of a photo: of the stages as measured alone, and of the processes as measured in the whole."""
    stage = {name: ms / 1000 for name, ms in line["stage_core_ms"].items()}
    whole = {role: ms / 1000 for role, ms in line["whole_core_ms_by_process"].items()}
    own = {
        "fetch_s": stage["fetch"],
        "prepare_s": max(0.0, stage["segment"] - whole["triton"]),
        "refine_s": stage["refine"],
        "compose_s": stage["compose"],
        "encode_s": stage["encode"],
        "store_s": stage["store"],
    }
    loop_s = max(whole["worker"] - sum(own.values()), whole["worker"] * LEAST_LOOP_SHARE)
    scale = (whole["worker"] - loop_s) / sum(own.values())
    scaled = {name: seconds * scale for name, seconds in own.items()}
    return Work(loop_s=loop_s, decode_s=whole["decoders"], infer_s=whole["triton"], locked_share=LOCKED_SHARE, **scaled)


if __name__ == "__main__":
    main()

"""Measure the networks alone, without Triton: images per second in fp32 and bf16: `python -m benchmarks.engines`.

The networks take turns because the speed of a shared machine drifts. Needs the weights of every profile compared.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from openvino import AsyncInferQueue
from rich.console import Console
from rich.table import Table

from benchmarks.machine import CORES, record
from cutstream.settings import load
from deploy.triton.backends.precision import compile_network
from export.profiles import networks_of
from export.repository.render import render

TURNS, SLICE_S = 6, 1.5


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument(
        "--profiles", default="fast,general", help="comma-separated list; ratios are to the last one"
    )
    profiles = tuple(arguments.parse_args().profiles.split(","))
    with tempfile.TemporaryDirectory() as folder:
        settings = load()
        models = settings.models.model_copy(update={"profiles": profiles, "default_profile": profiles[0]})
        stack = settings.stack.model_copy(update={"state": Path(folder)})
        served = render(settings.model_copy(update={"models": models, "stack": stack}))
        names = networks_of(profiles)
        precisions = ["fp32", *(["bf16"] if _has_bf16() else [])]
        engines = {
            (name, precision): AsyncInferQueue(compile_network(served / name / "1" / "model.onnx", precision, CORES))
            for name in names
            for precision in precisions
        }
        rates: dict[tuple[str, str], list[float]] = {key: [] for key in engines}
        for _ in range(TURNS):
            for key, engine in engines.items():
                rates[key].append(_images_per_second(engine))
    median = {key: float(np.median(turns)) for key, turns in rates.items()}
    line = record(
        "engines",
        images_per_second={f"{name} {precision}": round(rate, 1) for (name, precision), rate in median.items()},
        ratio={
            f"{name} {precision}": round(rate / median[names[-1], precision], 1)
            for (name, precision), rate in median.items()
        },
    )
    _print(line)


def _images_per_second(engine: AsyncInferQueue) -> float:
    image = np.random.default_rng(1).integers(0, 256, tuple(engine[0].model_inputs[0].shape), np.uint8)
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < SLICE_S:
        for _ in range(CORES):
            engine.start_async({0: image})
            done += 1
    engine.wait_all()
    return done / (time.perf_counter() - began)


def _has_bf16() -> bool:
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _print(line: dict[str, Any]) -> None:
    table = Table("engine", "images/s", "ratio at equal precision", title=f"{line['machine']['cpu']}, {CORES} cores")
    for name, rate in line["images_per_second"].items():
        table.add_row(name, str(rate), str(line["ratio"][name]))
    Console().print(table)


if __name__ == "__main__":
    main()

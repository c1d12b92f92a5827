"""Measure refinement and compositing of one photo: `python -m benchmarks.micro.matting`.

It runs on one CPU core and, if there is a CUDA device, on that too, until the device is done. Photo and matte are
already in the device's memory; transfers are measured separately.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np

from cutstream.arrays.cpu import CpuOps
from cutstream.arrays.gpu import NoDevice, open_gpu
from cutstream.arrays.ops import ArrayOps
from cutstream.compositing.compose import compose
from cutstream.compositing.foreground_layer import ForegroundLayer
from cutstream.compositing.perspective import stand
from cutstream.compositing.shadows.light_estimation import estimate_light
from cutstream.compositing.shadows.shadow import render_shadow
from cutstream.compositing.specs import (
    CompositionSpec,
    Light,
    OutputName,
    PerspectiveSpec,
    PlacementSpec,
    ShadowSpec,
    ShadowType,
)
from cutstream.contract.geometry import parse_baseline, parse_horizon
from cutstream.contract.recipe import MAX_PIXELS
from cutstream.images import Image, Matte
from cutstream.images.geometry import Box
from cutstream.matting.alpha_matting import estimate_alpha
from cutstream.matting.foreground import estimate_foreground
from cutstream.matting.guided_filter import fit_guided
from cutstream.matting.measure import measure
from cutstream.matting.presets import PRESETS
from cutstream.matting.refine import EPSILON, prepare, refine
from cutstream.matting.specs import MattingSpec

WARM_UP, REPEATS = 3, 20
NETWORK_SIDE = 320
OUTPUTS: tuple[OutputName, ...] = ("cutout", "mask", "composite")
SHADOWS: tuple[ShadowType, ...] = ("drop", "contact", "cast")
STANDING = PerspectiveSpec(baseline=parse_baseline("20% 90% 70% 80%"), horizon=parse_horizon("30%"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=1500)
    parser.add_argument("--height", type=int, default=1000)
    options = parser.parse_args()
    for ops in back_ends():
        for name, work in cases(noise(options.width, options.height), disc(), ops).items():
            size = {"width": options.width, "height": options.height}
            row = {"benchmark": f"micro/{name}", "device": ops.device, **size, **timed(work, ops)}
            print(json.dumps(row))  # noqa: T201


def back_ends() -> Iterator[ArrayOps]:
    yield CpuOps()
    try:
        yield open_gpu()
    except NoDevice as exc:
        print(f"cuda left out: {exc}", file=sys.stderr)  # noqa: T201


def cases(source: Image, small: Matte, ops: ArrayOps) -> dict[str, Callable[[], object]]:
    photo, matte = Image(ops.to_device(source.pixels)), ops.to_device(small)
    full = refine(matte, photo, PRESETS["soft"], ops)
    guide = ops.resize_linear(photo.pixels, NETWORK_SIDE, NETWORK_SIDE)

    def composing(spec: CompositionSpec) -> Callable[[], object]:
        return lambda: compose(photo, full, spec, ops)

    def shading(kind: ShadowType, depth: Matte | None = None) -> Callable[[], object]:
        return lambda: render_shadow(full, ShadowSpec(type=kind), Light(), ops, depth)

    everything = Box(0, 0, source.width, source.height)
    return {
        "to_device": lambda: ops.to_device(source.pixels),
        "to_host": lambda: ops.to_host(photo.pixels),
        "prepare": lambda: prepare(photo, NETWORK_SIDE, NETWORK_SIDE, ops),
        "measure": lambda: measure(full, ops),
        **{
            f"refine_{name}": (lambda preset=preset: refine(matte, photo, preset, ops))
            for name, preset in PRESETS.items()
        },
        "fit_guided": lambda: fit_guided(guide, matte, (5, 7), EPSILON, ops),
        "foreground": lambda: estimate_foreground(photo.pixels, full, ops),
        "matting_fast": lambda: estimate_alpha(full, photo, MattingSpec(), ops),
        **{f"compose_{output}": composing(CompositionSpec(outputs=(output,))) for output in OUTPUTS},
        "compose_preview": composing(CompositionSpec(placement=PlacementSpec(max_pixels=MAX_PIXELS["preview"]))),
        "soft_and_cutout": lambda: compose(photo, refine(matte, photo, PRESETS["soft"], ops), CompositionSpec(), ops),
        **{f"shadow_{kind}": shading(kind) for kind in SHADOWS},
        "shadow_cast_with_depth": shading("cast", full),
        "estimate_light": lambda: estimate_light(photo.pixels, ops),
        "perspective": lambda: stand(
            ForegroundLayer(photo.pixels, full), everything, STANDING, source.width, source.height, ops
        ),
    }


def timed(work: Callable[[], object], ops: ArrayOps) -> dict[str, float]:
    for _ in range(WARM_UP):
        work()
    seconds = []
    for _ in range(REPEATS):
        ops.synchronize()
        start = time.perf_counter()
        work()
        ops.synchronize()
        seconds.append(time.perf_counter() - start)
    return {"ms": round(min(seconds) * 1e3, 2), "median_ms": round(median(seconds) * 1e3, 2)}


def noise(width: int, height: int) -> Image:
    return Image(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def disc() -> Matte:
    """Return a disc with soft edges over a third of the image, as a network would return it."""
    rows, columns = np.ogrid[:NETWORK_SIDE, :NETWORK_SIDE]
    distance = np.hypot(rows - NETWORK_SIDE / 2, columns - NETWORK_SIDE / 2)
    return (np.clip((NETWORK_SIDE / 3 - distance) / 8 + 0.5, 0, 1) * 255).astype(np.uint8)


if __name__ == "__main__":
    main()

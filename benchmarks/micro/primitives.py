"""Measure every array primitive at three sizes: `python -m benchmarks.micro.primitives [--only NAME]`.

`cpu_ms` is OpenCV on one core. If there is a CUDA device, each line also has `cuda_ms`, until the device is done, and
`cpu_per_cuda`, the ratio. All inputs are already in the device's memory, except those of `to_device`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from inspect import isfunction

import numpy as np
from numpy.typing import NDArray

from benchmarks.micro.matting import back_ends, disc, noise, timed
from cutstream.arrays.cpu import CpuOps
from cutstream.arrays.ops import ArrayOps, Floats, Footprint
from cutstream.images import Matte, Pixels
from cutstream.matting.guided_filter import fit_guided, stretch_levels
from cutstream.matting.refine import BLACK_POINT, EPSILON, WHITE_POINT, ellipse

SIZES = ((512, 512), (1500, 1000), (4096, 4096))
SWEEP_SIDE = 400  # side of the largest image that decontamination sweeps
GRID = 320  # side of a network's matte, and of the coefficients fitted to it


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of the cases: `host` is in host memory, all others are on the device; `hole` is 1 % of the image.

    `coefficients` leave alpha open everywhere; `fitted` saturate it except around a disc's edge.
    """

    host: Pixels
    pixels: Pixels
    background: Pixels
    alpha: Matte
    hole: Matte
    plane: Floats
    whole: NDArray[np.uint16]
    coefficients: Floats
    fitted: Floats
    small: Pixels
    small_alpha: Matte
    colours: Floats

    @property
    def half(self) -> tuple[int, int]:
        height, width = self.alpha.shape
        return width // 2, height // 2

    @property
    def double(self) -> tuple[int, int]:
        height, width = self.alpha.shape
        return width * 2, height * 2


Case = Callable[[Inputs, ArrayOps], object]
LEVELS = np.arange(256, dtype=np.uint8)
TILTED = np.array([[1.0, 0.1, -20.0], [0.05, 1.0, -10.0], [1e-5, 2e-5, 1.0]])
REGULARISATION = np.float32(0.03)


def morphology() -> dict[str, Case]:
    """Return cases for several footprints. A GPU's cost must not grow with the size of a rectangle."""
    footprints: dict[str, Footprint] = {f"rectangle {side}": np.ones((side, side), np.uint8) for side in (3, 15, 51)}
    footprints["ellipse 15"] = ellipse(15)
    return {
        **{f"erode/{name}": (lambda on, ops, f=f: ops.erode(on.alpha, f, 1)) for name, f in footprints.items()},
        **{f"dilate/{name}": (lambda on, ops, f=f: ops.dilate(on.alpha, f, 1)) for name, f in footprints.items()},
    }


# By the primitive's name; the part after a slash describes its arguments.
CASES: dict[str, Case] = {
    "to_device": lambda on, ops: ops.to_device(on.host),
    "to_host": lambda on, ops: ops.to_host(on.pixels),
    "resize_area": lambda on, ops: ops.resize_area(on.pixels, *on.half),
    f"resize_area/to {GRID}": lambda on, ops: ops.resize_area(on.pixels, GRID, GRID),
    "resize_linear": lambda on, ops: ops.resize_linear(on.pixels, *on.half),
    "resize_linear/matte doubled": lambda on, ops: ops.resize_linear(on.alpha, *on.double),
    "warp": lambda on, ops: ops.warp(on.pixels, TILTED, on.alpha.shape[1], on.alpha.shape[0]),
    **{f"box/{side}": (lambda on, ops, side=side: ops.box(on.plane, side, side)) for side in (3, 15, 51)},
    **{f"box/{side} whole": (lambda on, ops, side=side: ops.box(on.whole, side, side)) for side in (3, 15, 51)},
    **{f"gaussian/{side}": (lambda on, ops, side=side: ops.gaussian(on.alpha, side)) for side in (3, 15, 51)},
    **morphology(),
    "fit_colours": lambda on, ops: ops.fit_colours(on.small, on.small_alpha, 5, 7, EPSILON * np.float32(255**2)),
    "local_linear": lambda on, ops: ops.local_linear(on.coefficients, on.pixels),
    "local_linear/fitted": lambda on, ops: ops.local_linear(on.fitted, on.pixels),
    "histogram": lambda on, ops: ops.histogram(on.alpha),
    "total": lambda on, ops: ops.total(on.alpha),
    "bounding_box": lambda on, ops: ops.bounding_box(on.alpha, 25),
    "shrink": lambda on, ops: ops.shrink(on.pixels, on.alpha, *on.half),
    "rgba": lambda on, ops: ops.rgba(on.pixels, on.alpha),
    "blend": lambda on, ops: ops.blend(on.pixels, on.alpha, (10, 20, 30)),
    "composite_over": lambda on, ops: ops.composite_over(on.pixels, on.alpha, on.background),
    f"foreground_sweep/{SWEEP_SIDE}": lambda on, ops: ops.foreground_sweep(
        on.small, on.small_alpha, on.colours, on.colours, 8, REGULARISATION
    ),
    "foreground_solve": lambda on, ops: ops.foreground_solve(
        on.pixels, on.alpha, on.colours, on.colours, REGULARISATION
    ),
    "lookup/matte": lambda on, ops: ops.lookup(on.alpha, LEVELS),
    "lookup/photo": lambda on, ops: ops.lookup(on.pixels, np.stack([LEVELS] * 3, axis=-1)),
    "to_lab": lambda on, ops: ops.to_lab(on.pixels),
    "from_lab": lambda on, ops: ops.from_lab(on.pixels),
    "inpaint/telea": lambda on, ops: ops.inpaint(on.pixels, on.hole, 5.0, "telea"),
    "inpaint/navier_stokes": lambda on, ops: ops.inpaint(on.pixels, on.hole, 5.0, "navier_stokes"),
    "distance": lambda on, ops: ops.distance(on.alpha),
    "largest_component": lambda on, ops: ops.largest_component(on.alpha, 127),
    "fill_holes": lambda on, ops: ops.fill_holes(on.alpha, 254),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="prefix of the primitives to measure")
    only = parser.parse_args().only
    devices = list(back_ends())
    for width, height in SIZES:
        on = {ops.device: inputs(width, height, ops) for ops in devices}
        for name, case in CASES.items():
            if name.startswith(only):
                ms = {ops.device: milliseconds(case, on[ops.device], ops) for ops in devices}
                print(json.dumps(row(name, width, height, ms)))  # noqa: T201


def around_disc() -> Floats:
    """Return coefficients of alpha as refinement fits them to a disc on a grey photo."""
    grey, small = np.full((GRID, GRID, 3), 128, np.uint8), disc()
    fitted = fit_guided(grey, small, (5, 7), EPSILON, CpuOps())
    return stretch_levels(fitted, BLACK_POINT, WHITE_POINT)


def milliseconds(case: Case, on: Inputs, ops: ArrayOps) -> float:
    return timed(lambda: case(on, ops), ops)["median_ms"]


def primitives() -> set[str]:
    """Return the names of the primitives of `ArrayOps`: the methods that work on an array."""
    return {name for name, value in vars(ArrayOps).items() if isfunction(value) and not name.startswith("_")} - {
        "synchronize",
        "load",
        "memory",
        "errors",
    }


def missing() -> set[str]:
    """Return the primitives that no case measures."""
    return primitives() - {name.partition("/")[0] for name in CASES}


def row(name: str, width: int, height: int, ms: dict[str, float]) -> dict[str, object]:
    line: dict[str, object] = {"benchmark": f"primitive/{name}", "width": width, "height": height}
    line |= {f"{device}_ms": taken for device, taken in ms.items()}
    return line | ({"cpu_per_cuda": round(ms["cpu"] / ms["cuda"], 2)} if ms.get("cuda") else {})


def inputs(width: int, height: int, ops: ArrayOps) -> Inputs:
    photo = noise(width, height).pixels
    hole = np.zeros((height, width), np.uint8)
    hole[: height // 10, : width // 10] = 255
    random = np.random.default_rng(1)
    return Inputs(
        host=photo,
        pixels=ops.to_device(photo),
        background=ops.to_device(np.ascontiguousarray(photo[::-1])),
        alpha=ops.to_device(CpuOps().resize_linear(disc(), width, height)),
        hole=ops.to_device(hole),
        plane=ops.to_device(random.random((height, width), np.float32)),
        whole=ops.to_device(random.integers(0, 255**2, (height, width), np.uint16)),
        coefficients=ops.to_device(random.random((GRID, GRID, 4), np.float32)),
        fitted=ops.to_device(around_disc()),
        small=ops.to_device(noise(SWEEP_SIDE, SWEEP_SIDE).pixels),
        small_alpha=ops.to_device(CpuOps().resize_linear(disc(), SWEEP_SIDE, SWEEP_SIDE)),
        colours=ops.to_device(255 * random.random((SWEEP_SIDE, SWEEP_SIDE, 3), np.float32)),
    )


if __name__ == "__main__":
    main()

"""Measure the quality of edges where true alpha and colours are known: `python -m benchmarks.edge_quality`.

It compares refined with raw mattes for each network, and decontaminated colours with those of PyMatting. The images are
hair drawn around the subjects of scikit-image's photos, and the photo of a lemur if `ALPHA_PHOTOS` names its folder.
Networks whose weights are neither in the store nor in the mirror are left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import fmean, median
from typing import Any

import numpy as np
import pytest
from pymatting import estimate_foreground_ml
from rich.console import Console
from rich.table import Table

from benchmarks.machine import record
from cutstream.images import Image, Matte, Pixels
from cutstream.matting.foreground import estimate_foreground
from cutstream.matting.presets import SOFT
from cutstream.matting.refine import refine
from cutstream.settings import load
from tests.support.hair import HairPicture
from tests.support.networks import FOUND, OPS, PICTURES, at_hand, edges, matte_of

BACKGROUNDS = ((0, 255, 0), (0, 0, 255), (255, 0, 0), (255, 0, 255))
TURNS = 5


def main() -> None:
    models = load().models
    pictures = _pictures()
    mattes = {
        (network, name): matte_of(network, pictures[name].pixels, models)
        for network, names in FOUND.items()
        if at_hand(network, models)
        for name in names
        if name in pictures
    }
    line = record(
        "edge_quality",
        edges={f"{network}: {name}": _rounded(vars(edges(m, pictures[name]))) for (network, name), m in mattes.items()},
        colours={name: _colours(picture, picture.alpha) for name, picture in pictures.items()},
        colours_by_cutnet={
            name: _colours(picture, refine(mattes["cutnet", name], Image(picture.pixels), SOFT, OPS))
            for name, picture in pictures.items()
        },
        cpu_ms=_cpu_ms(pictures["large person in a garage"]),
    )
    _print(line)


def _pictures() -> dict[str, HairPicture]:
    pictures = {}
    for name, make in PICTURES.items():
        try:
            pictures[name] = make()
        except pytest.skip.Exception:
            continue  # the lemur, which not every machine has
    return pictures


def _colours(picture: HairPicture, alpha: Matte) -> dict[str, float]:
    """Return the mean error in grey levels of composites made with `alpha`, over four background colours.

    Only pixels with a true alpha between 0 and 255 count.
    """
    undecided = (picture.alpha > 0) & (picture.alpha < 255)

    def error(pixels: Pixels) -> float:
        return fmean(
            np.abs(OPS.blend(pixels, alpha, ground).astype(int) - OPS.blend(picture.foreground, picture.alpha, ground))[
                undecided
            ].mean()
            for ground in BACKGROUNDS
        )

    return _rounded({method: error(estimate(picture.pixels, alpha)) for method, estimate in METHODS.items()})


def _pymatting(pixels: Pixels, alpha: Matte) -> Pixels:
    colours = estimate_foreground_ml(pixels / 255, alpha / 255)
    return np.rint(colours * 255).astype(np.uint8)


METHODS: dict[str, Callable[[Pixels, Matte], Pixels]] = {
    "plain": lambda pixels, alpha: pixels,
    "foreground": lambda pixels, alpha: estimate_foreground(pixels, alpha, OPS),
    "pymatting": _pymatting,
}


def _cpu_ms(picture: HairPicture) -> dict[str, float]:
    """Measure whole estimates, in turns. PyMatting was compiled when the colours were measured."""
    spent: dict[str, list[float]] = {"foreground": [], "pymatting": []}
    for _ in range(TURNS):
        for method, times in spent.items():
            began = time.process_time()
            METHODS[method](picture.pixels, picture.alpha)
            times.append((time.process_time() - began) * 1e3)
    return _rounded({method: median(times) for method, times in spent.items()})


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(float(value), 2) for name, value in values.items()}


def _print(line: dict[str, Any]) -> None:
    table = Table("network and image", "SAD", "refined", "gradient", "refined")
    for name, errors in line["edges"].items():
        table.add_row(name, *(str(errors[field]) for field in ("raw_sad", "sad", "raw_gradient", "gradient")))
    Console().print(table)
    for title, key in (("true alpha", "colours"), ("cutnet's matte, refined", "colours_by_cutnet")):
        table = Table("image", *METHODS, title=f"Error in grey levels, composited with {title}")
        for name, errors in line[key].items():
            table.add_row(name, *map(str, errors.values()))
        Console().print(table)
    Console().print(f"CPU ms for the large person: {line['cpu_ms']}")


if __name__ == "__main__":
    main()

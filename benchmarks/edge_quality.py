"""How good edges are where alpha and colours are known: refinement by net, and decontamination beside PyMatting's.

Pictures of hair drawn around scikit-image's photos, and the photo of a lemur where `ALPHA_PHOTOS` names the
folder that has it. Nets whose weights are neither in the store nor in the mirror are left out.
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

GROUNDS = ((0, 255, 0), (0, 0, 255), (255, 0, 0), (255, 0, 255))
TURNS = 5


def main() -> None:
    models = load().models
    pictures = _pictures()
    mattes = {
        (net, name): matte_of(net, pictures[name].pixels, models)
        for net, names in FOUND.items()
        if at_hand(net, models)
        for name in names
        if name in pictures
    }
    line = record(
        "edge_quality",
        edges={f"{net}: {name}": _rounded(vars(edges(m, pictures[name]))) for (net, name), m in mattes.items()},
        colours={name: _colours(picture, picture.alpha) for name, picture in pictures.items()},
        colours_by_cutnet={
            name: _colours(picture, refine(mattes["cutnet", name], Image(picture.pixels), SOFT, OPS))
            for name, picture in pictures.items()
        },
        cpu_ms=_cpu_ms(pictures["large person in a garage"]),
    )
    _print(line)


def _pictures() -> dict[str, HairPicture]:
    found = {}
    for name, make in PICTURES.items():
        try:
            found[name] = make()
        except pytest.skip.Exception:
            continue  # the one that is not everywhere
    return found


def _colours(picture: HairPicture, alpha: Matte) -> dict[str, float]:
    """Grey levels off, of what is pasted with `alpha`, where the true alpha is undecided; mean of four grounds."""
    undecided = (picture.alpha > 0) & (picture.alpha < 255)

    def error(pixels: Pixels) -> float:
        return fmean(
            np.abs(OPS.blend(pixels, alpha, ground).astype(int) - OPS.blend(picture.foreground, picture.alpha, ground))[
                undecided
            ].mean()
            for ground in GROUNDS
        )

    return _rounded({way: error(estimate(picture.pixels, alpha)) for way, estimate in WAYS.items()})


def _pymatting(pixels: Pixels, alpha: Matte) -> Pixels:
    colours = estimate_foreground_ml(pixels / 255, alpha / 255)
    return np.rint(colours * 255).astype(np.uint8)


WAYS: dict[str, Callable[[Pixels, Matte], Pixels]] = {
    "plain": lambda pixels, alpha: pixels,
    "foreground": lambda pixels, alpha: estimate_foreground(pixels, alpha, OPS),
    "pymatting": _pymatting,
}


def _cpu_ms(picture: HairPicture) -> dict[str, float]:
    """Of the whole estimate, in turns; PyMatting's has been compiled when the colours were measured."""
    spent: dict[str, list[float]] = {"foreground": [], "pymatting": []}
    for _ in range(TURNS):
        for way, times in spent.items():
            began = time.process_time()
            WAYS[way](picture.pixels, picture.alpha)
            times.append((time.process_time() - began) * 1e3)
    return _rounded({way: median(times) for way, times in spent.items()})


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(float(value), 2) for name, value in values.items()}


def _print(line: dict[str, Any]) -> None:
    table = Table("net and picture", "SAD", "refined", "gradient", "refined")
    for name, found in line["edges"].items():
        table.add_row(name, *(str(found[field]) for field in ("raw_sad", "sad", "raw_gradient", "gradient")))
    Console().print(table)
    for title, key in (("true alpha", "colours"), ("cutnet's matte, refined", "colours_by_cutnet")):
        table = Table("picture", *WAYS, title=f"Grey levels off, pasted with {title}")
        for name, found in line[key].items():
            table.add_row(name, *map(str, found.values()))
        Console().print(table)
    Console().print(f"CPU ms of the large person: {line['cpu_ms']}")


if __name__ == "__main__":
    main()

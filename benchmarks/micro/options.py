"""Measure what a request's options cost on one core, for each megapixel: `python -m benchmarks.micro.options`.

A row is the time on a processor from a request's matte to its finished files, and what `estimate_s` of
consumer/resources/long_work.py says, which decides whether the request moves to the retry topic. The photo is noise,
and the subject blobs with edges everywhere, which take the longest.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.micro.matting import noise
from consumer.resources.long_work import estimate_s
from cutstream.arrays.cpu import CpuOps
from cutstream.arrays.ops import ArrayOps, Colour
from cutstream.compositing.background_picture import fit_picture
from cutstream.compositing.compose import Output, compose
from cutstream.compositing.specs import Fit
from cutstream.contract.messages import decode_request
from cutstream.contract.recipe import Recipe, parse_recipe
from cutstream.images import Image, Matte, Pixels
from cutstream.images.encode import encode
from cutstream.matting.alpha_matting import estimate_alpha
from cutstream.matting.refine import refine

_PICTURE: Mapping[str, Any] = {"image": "file:///b.jpg"}
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "alpha_matting": {"refine": "alpha_matting"},
    "mask": {"outputs": ["mask"]},
    "composite": {"outputs": ["composite"]},
    "overlay": {"outputs": ["overlay"]},
    "inpaint telea": {"outputs": ["background"], "inpaint": "telea"},
    "inpaint navier_stokes": {"outputs": ["background"], "inpaint": "navier_stokes"},
    "layers": {"outputs": ["layers"], "format": "zip"},
    "webp 100": {"format": "webp", "quality": 100},
    "decontaminate": {"decontaminate": True},
    "fast matting": {"matting": "fast"},
    "fast matting wide": {"matting": {"method": "fast", "erode": 200, "dilate": 200}},
    "gradient": {"outputs": ["composite"], "background": {"gradient": {"colors": ["#fff", "#000"]}}},
    "blur 1": {"outputs": ["composite"], "background": {"blur": 1}},
    "blur 100": {"outputs": ["composite"], "background": {"blur": 100}},
    "picture cover": {"outputs": ["composite"], "background": _PICTURE},
    "picture tile": {"outputs": ["composite"], "background": {**_PICTURE, "fit": "tile"}},
    "drop": {"outputs": ["composite"], "shadow": "drop"},
    "drop soft": {"outputs": ["composite"], "shadow": {"type": "drop", "softness": 100}},
    "contact": {"outputs": ["composite"], "shadow": "contact"},
    "cast": {"outputs": ["composite"], "shadow": "cast"},
    "cast soft": {"outputs": ["composite"], "shadow": {"type": "cast", "softness": 100}},
    "cast depth": {"outputs": ["composite"], "shadow": {"type": "cast", "depth": True}},
    "reinhard": {
        "outputs": ["composite"],
        "background": _PICTURE,
        "harmonise": {"method": "reinhard", "strength": 1},
    },
    "histogram": {
        "outputs": ["composite"],
        "background": _PICTURE,
        "harmonise": {"method": "histogram", "strength": 1},
    },
    "light auto": {"outputs": ["composite"], "background": _PICTURE, "shadow": {"type": "drop", "light": "auto"}},
    "perspective": {"perspective": {"baseline": "20% 90% 70% 80%", "horizon": "30%"}},
    "scale": {"scale": "80%"},
    "worst": {
        "outputs": ["layers"],
        "format": "zip",
        "background": {"blur": 100},
        "shadow": "cast",
    },
}


@dataclass(frozen=True)
class Picture:
    """A background of the photo's size."""

    image: Image
    ops: ArrayOps

    def fit(self, width: int, height: int, fit: Fit, colour: Colour) -> Pixels:
        return fit_picture(self.image, width, height, fit, colour, self.ops)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--width", type=int, default=4000)
    parser.add_argument("--height", type=int, default=3000)
    parser.add_argument("names", nargs="*", help="of options; all without")
    given = parser.parse_args()
    ops = CpuOps()
    photo = noise(given.width, given.height)
    picture = Picture(Image(np.ascontiguousarray(photo.pixels[::-1])), ops)
    for name in given.names or OPTIONS:
        row = measured(OPTIONS[name], photo, blobs(), picture, ops)
        sys.stdout.write(json.dumps({"benchmark": f"micro/options/{name}", **row}) + "\n")
        sys.stdout.flush()


def measured(
    fields: Mapping[str, Any], photo: Image, small: Matte, picture: Picture, ops: ArrayOps
) -> dict[str, float]:
    """Return the seconds on a processor for each megapixel."""
    recipe = recipe_of(fields)
    megapixels = photo.width * photo.height / 1e6
    times = [time.process_time()]

    def lap() -> None:
        times.append(time.process_time())

    alpha = refine(small, photo, recipe.refinement, ops)
    lap()
    if recipe.matting is not None:
        alpha = estimate_alpha(alpha, photo, recipe.matting, ops)
    lap()
    depth = ops.resize_linear(small, photo.width, photo.height)
    composition = compose(photo, alpha, recipe.composition, ops, picture, depth)
    lap()
    for output in composition.outputs:
        _encode(output, recipe.encoding.formats[output.name], recipe.encoding.layers, recipe.encoding.quality)
    lap()
    phases = ("refine", "matting", "compose", "encode")
    row = {
        phase: round((end - begin) / megapixels, 3)
        for phase, begin, end in zip(phases, times[:-1], times[1:], strict=True)
    }
    whole = round((times[-1] - times[0]) / megapixels, 3)
    return {**row, "s_per_mp": whole, "estimate": round(estimate_s(recipe, round(megapixels * 1e6)) / megapixels, 3)}


def recipe_of(fields: Mapping[str, Any]) -> Recipe:
    return parse_recipe(decode_request(json.dumps({"image": "file:///a.png", **fields}).encode()))


def blobs() -> Matte:
    """Return a matte of a hundred soft spots, as a network would return it: its band of edges is the whole photo."""
    y, x = np.mgrid[0:320, 0:320] * (2 * np.pi / 32)
    return np.rint(127.5 + 127.5 * np.tanh(2 * np.sin(x) * np.sin(y))).astype(np.uint8)


def _encode(output: Output, format: Any, layers: str, quality: Any) -> None:
    for layer in output.layers:
        is_opaque = layer.pixels.ndim == 3 and layer.pixels.shape[2] == 3
        inner = "webp" if layers == "webp" else "jpeg" if is_opaque else "png"
        encode(layer.pixels, inner if format == "zip" else format, quality)


if __name__ == "__main__":
    main()

"""Work that takes long: others must wait neither for it nor for the memory that it waits with.

A result holds back those behind it in its partition. So a request for such work moves to the retry topic, where only
its like wait for it. There it needs a permit before it takes memory, and holds that in place of a core's slot until its
outputs are encoded: exact mattings one at a time, heavy work a quarter of the cores.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from consumer.resources.priority_semaphore import PrioritySemaphore
from consumer.resources.untried import Reason
from cutstream.compositing.specs import OutputName
from cutstream.contract.recipe import Recipe
from cutstream.errors import TakesLong

LONG_S = 10.0

# Seconds on one core for each megapixel, of noise, which takes the longest: `python -m benchmarks.micro.codecs` and
# `benchmarks.micro.matting`.
_WEBP_S: dict[OutputName, float] = {
    "cutout": 0.23,
    "mask": 0.13,
    "composite": 0.23,
    "overlay": 0.15,
    "background": 0.15,
    "layers": 0.6,  # several pictures
}
_OTHERS_S, _OTHERS_LAYERS_S = 0.03, 0.1
_REFINING_S, _COMPOSING_S, _DECONTAMINATING_S = 0.05, 0.02, 0.03


class LongWork:
    """Thread-safe. `again` says that a request comes from the retry topic; `count` is called for each that moves."""

    def __init__(self, cores: int, count: Callable[[Reason], None] = lambda reason: None) -> None:
        self._matting = PrioritySemaphore(1)
        self._heavy = PrioritySemaphore(max(1, cores // 4))
        self._count = count

    def expect(self, recipe: Recipe, again: bool) -> None:
        """Raise TakesLong for a request that takes long whatever its photo, unless it comes from the retry topic."""
        if recipe.matting is not None and recipe.matting.is_exact and not again:
            self._count("matting")
            raise TakesLong(f"the matting {recipe.matting.method!r} takes seconds: it goes on from the retry topic")

    def permit(self, recipe: Recipe, pixels: int, again: bool) -> PrioritySemaphore | None:
        """Return what a request for a photo with so many pixels has to hold; None for one that is done quickly.

        Raises TakesLong for one that has to move to the retry topic first.
        """
        if recipe.matting is not None and recipe.matting.is_exact:
            return self._matting
        seconds = estimate_s(recipe, pixels)
        if seconds <= LONG_S:
            return None
        if not again:
            self._count("heavy")
            raise TakesLong(f"the outputs may take {seconds:.0f} s: they are made from the retry topic")
        return self._heavy


def estimate_s(recipe: Recipe, pixels: int) -> float:
    """Return the seconds that a photo with so many pixels may take on one core, without an exact matting."""
    spec, encoding = recipe.composition, recipe.encoding
    canvas = math.prod(spec.placement.canvas) if spec.placement.canvas else pixels
    if spec.placement.max_pixels is not None:
        canvas = min(canvas, spec.placement.max_pixels)
    seconds = (_REFINING_S + (_DECONTAMINATING_S if spec.decontaminate else 0)) * pixels
    for output in spec.outputs:
        webp = encoding.formats[output] == "webp" or (encoding.formats[output] == "zip" and encoding.layers == "webp")
        others_s = _OTHERS_LAYERS_S if output == "layers" else _OTHERS_S
        seconds += (_COMPOSING_S + (_WEBP_S[output] if webp else others_s)) * canvas
    return seconds / 1e6

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
from cutstream.compositing.background import blur_scale
from cutstream.compositing.specs import CompositionSpec, OutputName
from cutstream.contract.recipe import EncodingSpec, Recipe
from cutstream.errors import TakesLong

LONG_S = 7.5  # by this table a plain cutout of 50 megapixels takes 5 s, and one of 24 megapixels as WebP 7.2 s
LARGE_SHARE = 0.6  # of the memory budget: two that need more can only be worked on one after the other

# Seconds on one core for each megapixel, of noise, which takes the longest, rounded up:
# `python -m benchmarks.micro.options` and `benchmarks.micro.codecs`.
_WEBP_S: dict[OutputName, float] = {
    "cutout": 0.23,
    "mask": 0.13,
    "composite": 0.23,
    "overlay": 0.15,
    "background": 0.15,
    "layers": 0.6,  # several pictures
}
_OTHERS_S, _OTHERS_LAYERS_S = 0.03, 0.1
_REFINING_S, _FAST_MATTING_S = 0.05, 0.04  # of the photo
_COMPOSING_S = 0.02  # of each output
_DECONTAMINATING_S = 0.03  # where edges are everywhere
_INPAINTING_S = 0.03
_PLACING_S, _PERSPECTIVE_S = 0.02, 0.04
_SHADOW_S, _LIGHT_S = 0.04, 0.02
_GRADIENT_S, _PICTURE_S = 0.04, 0.03
_BLUR_S, _FINE_BLUR_S = 0.03, 0.25  # the second where a slight blur is worked on at the full size
_HARMONISING_S = 0.05


class LongWork:
    """Thread-safe. `again` says that a request comes from the retry topic; `count` is called for each that moves.

    `budget_bytes` is the worker's budget of memory.
    """

    def __init__(
        self, cores: int, count: Callable[[Reason], None] = lambda reason: None, budget_bytes: float = math.inf
    ) -> None:
        self._budget_bytes = budget_bytes
        self._matting = PrioritySemaphore(1)
        self._heavy = PrioritySemaphore(max(1, cores // 4))
        self._count = count

    def expect(self, recipe: Recipe, again: bool) -> None:
        """Raise TakesLong for a request that takes long whatever its photo, unless it comes from the retry topic."""
        if recipe.matting is not None and recipe.matting.is_exact and not again:
            self._count("matting")
            raise TakesLong(f"the matting {recipe.matting.method!r} takes seconds: it goes on from the retry topic")

    def permit(self, recipe: Recipe, pixels: int, again: bool, memory_bytes: int = 0) -> PrioritySemaphore | None:
        """Return what a request for a photo with so many pixels has to hold; None for one that is done quickly.

        `memory_bytes` is what it holds of the budget. Raises TakesLong for one that has to move to the retry topic
        first.
        """
        if recipe.matting is not None and recipe.matting.is_exact:
            return self._matting
        seconds = estimate_s(recipe, pixels)
        is_large = memory_bytes > LARGE_SHARE * self._budget_bytes
        if seconds <= LONG_S and not is_large:
            return None
        if not again:
            self._count("heavy")
            why = f"may take {seconds:.0f} s" if seconds > LONG_S else f"may hold {memory_bytes:,} bytes"
            raise TakesLong(f"the outputs {why}: they are made from the retry topic")
        return self._heavy


def estimate_s(recipe: Recipe, pixels: int) -> float:
    """Return the seconds that a photo with so many pixels may take on one core, without an exact matting."""
    spec = recipe.composition
    canvas = math.prod(spec.placement.canvas) if spec.placement.canvas else pixels
    if spec.placement.max_pixels is not None:
        canvas = min(canvas, spec.placement.max_pixels)
    of_photo = _REFINING_S + (_FAST_MATTING_S if recipe.matting is not None else 0)
    of_canvas = _placing_s(spec) + sum(_output_s(output, recipe.encoding) for output in spec.outputs)
    if spec.draws_scene:
        of_canvas += _scene_s(spec, canvas)
    return (of_photo * pixels + of_canvas * canvas) / 1e6


def _output_s(output: OutputName, encoding: EncodingSpec) -> float:
    format = encoding.formats[output]
    webp = format == "webp" or (format == "zip" and encoding.layers == "webp")
    others_s = _OTHERS_LAYERS_S if output == "layers" else _OTHERS_S
    drawing_s = _COMPOSING_S + (_INPAINTING_S if output == "background" else 0)
    return drawing_s + (_WEBP_S[output] if webp else others_s)


def _placing_s(spec: CompositionSpec) -> float:
    placement = spec.placement
    seconds = _DECONTAMINATING_S if spec.decontaminated else 0.0
    if placement.perspective is not None:
        seconds += _PERSPECTIVE_S
    elif (placement.scale, placement.position) != (None, None):
        seconds += _PLACING_S
    return seconds


def _scene_s(spec: CompositionSpec, canvas: int) -> float:
    """Return the seconds that background, shadow and adapted colours take for each megapixel of the canvas."""
    background, shadow = spec.background, spec.shadow
    seconds = _GRADIENT_S if background.gradient is not None else 0.0
    seconds += _PICTURE_S if background.picture is not None else 0
    if background.blur is not None:
        seconds += _BLUR_S + _FINE_BLUR_S * blur_scale(math.sqrt(canvas), background.blur) ** 2
    if shadow is not None:
        seconds += _SHADOW_S + (_LIGHT_S if shadow.light == "auto" else 0)
    return seconds + (_HARMONISING_S if spec.harmonise is not None else 0)

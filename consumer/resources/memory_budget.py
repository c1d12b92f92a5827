"""A memory budget in bytes for decoded images: a photo waits until it fits, the oldest first."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager

from consumer.resources.priority_semaphore import Order, PrioritySemaphore
from cutstream.compositing.specs import CompositionSpec
from cutstream.errors import ResolutionTooHigh
from cutstream.matting.exact_matting import METHODS
from cutstream.matting.specs import MattingSpec
from cutstream.settings import BYTES_PER_PIXEL

# Bytes beyond BYTES_PER_PIXEL at the peak, per pixel of the canvas; measured on 24 megapixels.
FURTHER_OUTPUT = 4  # each output is held until the last one is encoded
LAYERED_SCENE = 8  # background, shadow and adapted subject
PLACED_SUBJECT = 12  # the subject apart from its photo, and what is made from it


def needed_bytes(spec: CompositionSpec, pixels: int, matting: MattingSpec | None = None) -> int:
    """Return what a photo with this many pixels holds at most, from decode to store."""
    solver = METHODS[matting.method].bytes if matting is not None and matting.is_exact else 0
    placement = spec.placement
    canvas = math.prod(placement.canvas) if placement.canvas else pixels
    per_pixel = FURTHER_OUTPUT * (len(spec.outputs) - 1)
    if spec.draws_scene and _has_layers(spec):
        per_pixel += LAYERED_SCENE
    if (placement.canvas, placement.scale, placement.position, placement.perspective) != (None, None, None, None):
        per_pixel += PLACED_SUBJECT
    return pixels * BYTES_PER_PIXEL + canvas * per_pixel + solver


def _has_layers(spec: CompositionSpec) -> bool:
    """Return whether the scene holds whole images besides the subject, not just a colour."""
    has_shadow_or_harmony = spec.shadow is not None or spec.harmonise is not None
    return spec.background.is_image or has_shadow_or_harmony or "layers" in spec.outputs


class MemoryBudget:
    """Thread-safe. `observe` is called with the bytes in use after every change."""

    def __init__(self, total_bytes: int, observe: Callable[[float], None] = lambda used: None) -> None:
        self._total = total_bytes
        self._bytes = PrioritySemaphore(total_bytes, observe)

    def reserve(
        self, amount: int, order: Order = (), give_up: Callable[[], None] = lambda: None
    ) -> AbstractContextManager[Callable[[int], None]]:
        """Hold `amount` bytes inside the block; wait for them as `PrioritySemaphore.acquire` does. It may keep fewer.

        Raises ResolutionTooHigh if the amount could never fit.
        """
        if amount > self._total:
            raise ResolutionTooHigh(
                f"the image needs {amount:,} bytes while it is worked on, and the worker's whole budget is "
                f"{self._total:,} (CUTSTREAM_WORKER__MEMORY_BYTES); fewer outputs, a smaller canvas or "
                "the matting 'fast' need less"
            )
        return self._bytes.acquire(order, amount, give_up)

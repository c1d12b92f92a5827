"""A memory budget in bytes for decoded images: a photo waits until it fits, first come first served."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cutstream.compositing.specs import CompositionSpec
from cutstream.errors import ResolutionTooHigh
from cutstream.settings import BYTES_PER_PIXEL

# Bytes beyond BYTES_PER_PIXEL at the peak, per pixel of the canvas; measured on 24 megapixels.
FURTHER_OUTPUT = 4  # each output is held until the last one is encoded
LAYERED_SCENE = 8  # background, shadow and adapted subject
PLACED_SUBJECT = 12  # the subject apart from its photo, and what is made from it


def needed_bytes(spec: CompositionSpec, pixels: int) -> int:
    """Return what a photo with this many pixels holds at most, from decode to store."""
    placement = spec.placement
    canvas = math.prod(placement.canvas) if placement.canvas else pixels
    per_pixel = FURTHER_OUTPUT * (len(spec.outputs) - 1)
    if spec.draws_scene and _has_layers(spec):
        per_pixel += LAYERED_SCENE
    if (placement.canvas, placement.scale, placement.position, placement.perspective) != (None, None, None, None):
        per_pixel += PLACED_SUBJECT
    return pixels * BYTES_PER_PIXEL + canvas * per_pixel


def _has_layers(spec: CompositionSpec) -> bool:
    """Return whether the scene holds whole images besides the subject, not just a colour."""
    has_shadow_or_harmony = spec.shadow is not None or spec.harmonise is not None
    return spec.background.is_image or has_shadow_or_harmony or "layers" in spec.outputs


class MemoryBudget:
    """Thread-safe. `observe` is called with the bytes in use after every change."""

    def __init__(self, total_bytes: int, observe: Callable[[float], None] = lambda used: None) -> None:
        self._total = total_bytes
        self._used = 0
        self._observe = observe
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, amount: int) -> Iterator[None]:
        """Hold `amount` bytes inside the block; wait until they are free and all earlier callers were served.

        Raises ResolutionTooHigh if the amount could never fit.
        """
        if amount > self._total:
            raise ResolutionTooHigh(
                f"the image needs {amount:,} bytes while it is worked on, and the worker's whole budget is "
                f"{self._total:,} (CUTSTREAM_WORKER__MEMORY_BYTES); fewer outputs or a smaller canvas need less"
            )
        self._acquire(amount)
        try:
            yield
        finally:
            self._release(amount)

    def _acquire(self, amount: int) -> None:
        turn = object()
        with self._changed:
            self._queue.append(turn)
            # A large image at the head holds the small ones back. Otherwise it would starve.
            self._changed.wait_for(lambda: self._queue[0] is turn and self._used + amount <= self._total)
            self._queue.popleft()
            self._used += amount
            self._observe(self._used)
            self._changed.notify_all()

    def _release(self, amount: int) -> None:
        with self._changed:
            self._used -= amount
            self._observe(self._used)
            self._changed.notify_all()

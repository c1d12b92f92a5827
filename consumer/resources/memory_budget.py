"""Memory for decoded pictures, budgeted in bytes: a photo waits until it fits, first come first served."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cutstream.contract.geometry import parse_canvas
from cutstream.contract.messages import Request
from cutstream.errors import ResolutionTooHigh
from cutstream.settings import BYTES_PER_PIXEL

# Peaks beyond BYTES_PER_PIXEL, measured on 24 megapixels, per pixel of the canvas.
FURTHER_OUTPUT = 4  # each is held until the last one is encoded
STAGED = 8  # background, shadow and adapted subject
PLACED = 12  # the subject apart from its photo, and what is made of it


def needed_bytes(request: Request, pixels: int) -> int:
    """What a photo of so many pixels holds at most, from decode to store."""
    canvas = math.prod(parse_canvas(request.canvas)) if request.canvas else pixels
    extra = FURTHER_OUTPUT * (len(request.outputs) - 1)
    if not {"composite", "layers"}.isdisjoint(request.outputs) and _is_staged(request):
        extra += STAGED
    if request.canvas or request.scale or request.position or request.perspective:
        extra += PLACED
    return pixels * BYTES_PER_PIXEL + canvas * extra


def _is_staged(request: Request) -> bool:
    background = request.background
    pictured = background.gradient or background.image or background.blur
    return bool(pictured or request.shadow or request.harmonise or "layers" in request.outputs)


class MemoryBudget:
    """Thread-safe. `observe` is told the bytes in use after every change."""

    def __init__(self, total_bytes: int, observe: Callable[[float], None] = lambda used: None) -> None:
        self._total = total_bytes
        self._used = 0
        self._observe = observe
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, amount: int) -> Iterator[None]:
        """Blocks until `amount` bytes are free and all earlier callers were served.

        Raises ResolutionTooHigh when the amount could never fit.
        """
        if amount > self._total:
            raise ResolutionTooHigh(
                f"the picture needs {amount:,} bytes while it is worked on, the worker's whole budget is "
                f"{self._total:,} (CUTSTREAM_WORKER__MEMORY_BYTES); fewer outputs or a smaller canvas need less"
            )
        self._take(amount)
        try:
            yield
        finally:
            self._give(amount)

    def _take(self, amount: int) -> None:
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            # A large picture at the head holds the small ones back: that is what keeps it from starving.
            self._changed.wait_for(lambda: self._queue[0] is ticket and self._used + amount <= self._total)
            self._queue.popleft()
            self._used += amount
            self._observe(self._used)
            self._changed.notify_all()

    def _give(self, amount: int) -> None:
        with self._changed:
            self._used -= amount
            self._observe(self._used)
            self._changed.notify_all()

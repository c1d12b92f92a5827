"""A generated file and what it must decode to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.pictures.truth import grey_as_rgb


@dataclass(frozen=True)
class Tolerance:
    """How far a right picture may be from the truth, in levels of 0..255: everywhere, and on average."""

    most: float
    mean: float


EXACT = Tolerance(0, 0)
ONE_LEVEL = Tolerance(1, 0.7)  # 16 bits to 8: rounded, or the high byte
CONVERTED = Tolerance(4, 1.5)  # through another colour space without loss
LOSSY = Tolerance(80, 4)  # chroma at half resolution rings at the edges of blocks


@dataclass(frozen=True)
class Case:
    """One file with its truth. `refusal` is the error code with which it is refused; None if it must be right.

    `colours`: u8 H×W×3, sRGB, upright; `alpha`: u8 H×W, straight, or None if the picture is opaque. With
    `weighted`, colours count as much as they are opaque: what a file premultiplies it cannot give back exactly.
    """

    name: str
    build: Callable[[], bytes]
    colours: NDArray[np.uint8] | None = None
    alpha: NDArray[np.uint8] | None = None
    tolerance: Tolerance = EXACT
    weighted: bool = False
    refusal: str | None = None
    message: str = ""  # a part of the refusal's message
    warnings: tuple[str, ...] | None = None  # codes, in order; None: not looked at
    reference: bool = False  # a second decoder's picture is a closer truth than `colours`

    @property
    def format(self) -> str:
        return self.name.split("/")[0]


def case(name: str, build: Callable[[], bytes], colours: NDArray[Any], alpha: Any = None, **more: Any) -> Case:
    """Return a case; `colours` may be H×W grey."""
    rgb = grey_as_rgb(colours) if colours.ndim == 2 else colours
    return Case(name, build, np.asarray(rgb, np.uint8), alpha, **more)


def refused(name: str, build: Callable[[], bytes], code: str, message: str = "") -> Case:
    return Case(name, build, refusal=code, message=message)


def mismatch(case: Case, colours: NDArray[np.uint8], alpha: NDArray[np.uint8] | None) -> str | None:
    """Compare a decoded picture with the truth of its case. Return what differs, or None."""
    assert case.colours is not None
    if colours.shape != case.colours.shape:
        return f"shape {colours.shape} instead of {case.colours.shape}"
    if (alpha is None) != (case.alpha is None):
        return f"alpha is {'missing' if alpha is None else 'there without need'}"
    weights: Any = 1.0
    if alpha is not None and case.alpha is not None:
        wrong = difference(alpha, case.alpha, case.tolerance)
        if wrong:
            return f"alpha: {wrong}"
        weights = case.alpha[..., None] / 255 if case.weighted else 1.0
    return difference(colours, case.colours, case.tolerance, weights)


def difference(one: NDArray[Any], other: NDArray[Any], tolerance: Tolerance, weights: Any = 1.0) -> str | None:
    away = np.abs(one.astype(np.float64) - other) * weights
    if away.max() <= tolerance.most + 1e-9 and away.mean() <= tolerance.mean + 1e-9:
        return None
    return f"off by {away.max():.0f} at most, {away.mean():.2f} on average"

"""The parameters of refinement and of matting, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

EdgeMode: TypeAlias = Literal["linear", "soft"]
KernelScale: TypeAlias = Literal["long_side", "none"]
MattingMethod: TypeAlias = Literal["fast", "closed_form", "knn", "learning_based", "large_kernel", "random_walk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refinement:
    """The steps that turn a network's matte into alpha, in this order; a count of 0 skips its step.

    At the size of the matte: fade_islands (`cutstream/matting/islands.py`), close, open, blur, dilate. At the size of
    the image: edges, threshold, keep_largest, fill_holes, feather. Kernels are odd; 0 means no blur, no feather, and
    `dilate_kernel` as `kernel`. With scale `long_side` they are pixels of an image whose long side is 1000 and scale
    with it, with `none` they are literal.
    """

    fade_islands: bool = False
    kernel: int = 3
    close: int = 0
    open: int = 0
    blur: int = 0
    threshold: int | None = None  # 0..255; values above it become 255, all others 0
    dilate_kernel: int = 0
    dilate: int = 0
    edges: EdgeMode = "linear"
    keep_largest: bool = False
    fill_holes: bool = False
    feather: int = 0
    scale: KernelScale = "long_side"


@dataclass(frozen=True, slots=True, kw_only=True)
class MattingSpec:
    """The method that estimates alpha, in a band from `erode` inside the matte's edge to `dilate` outside it.

    Both are pixels of an image whose long side is 1000.
    """

    method: MattingMethod = "fast"
    erode: int = 10
    dilate: int = 10

    @property
    def is_exact(self) -> bool:
        """True for the methods of PyMatting, which take seconds."""
        return self.method != "fast"

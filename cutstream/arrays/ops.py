"""The primitives that differ between OpenCV and CuPy; `cpu.py` is their definition.

Common to all: arrays are not modified, pixel (0, 0) is the top left one, and a pixel's centre lies at +0.5. `u8` is
uint8 in 0..255, `f32` float32. Footprints and kernels have odd sides and their anchor in the middle. Element-wise
mathematics needs no primitive: it is written once against `xp`. Arrays are in the memory that `xp` works on, unless it
says otherwise; footprints, tables and homographies are in host memory.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from cutstream.images import Cutout, Matte, Pixels

Floats: TypeAlias = NDArray[np.float32]
Footprint: TypeAlias = NDArray[np.uint8]
Table: TypeAlias = NDArray[np.uint8]
Homography: TypeAlias = NDArray[np.float64]
Colour: TypeAlias = tuple[int, int, int]
Bounds: TypeAlias = tuple[int, int, int, int]
Inpainting: TypeAlias = Literal["telea", "navier_stokes"]
T = TypeVar("T", bound=np.generic)


class ArrayOps(Protocol):
    """Stateless, and safe to call from several threads at once."""

    @property
    def device(self) -> str:
        """`cpu` or `cuda`, for people: no code asks for it."""

    @property
    def xp(self) -> Any:
        """The array namespace, NumPy's names: `numpy` or `cupy`."""

    def to_device(self, array: NDArray[T]) -> NDArray[T]:
        """From host memory into what `xp` works on; the same array where that is host memory. Edge stages only."""

    def to_host(self, array: NDArray[T]) -> NDArray[T]:
        """The way back, C-contiguous."""

    def synchronize(self) -> None:
        """Waits until the device has done all that it was asked to: for measuring, no result needs it."""

    def errors(self) -> AbstractContextManager[None]:
        """The device's own errors become `DeviceOutOfMemory` and `DeviceLost`: the stages work inside it."""

    def resize_area(self, pixels: Pixels, width: int, height: int) -> Pixels:
        """u8 HW or HWC. Area average along an axis that shrinks, then bilinear along one that grows.

        Each of the two rounds to nearest.
        """

    def resize_linear(self, pixels: Pixels, width: int, height: int) -> Pixels:
        """u8 HW or HWC. Bilinear between pixel centres, edges replicated, no antialiasing; rounds to nearest."""

    def warp(self, pixels: Pixels, matrix: Homography, width: int, height: int) -> Pixels:
        """u8 HW, or HWC of 3 or 4. `matrix` (3 × 3) takes (x, y, 1) of the result to (u·w, v·w, w) of `pixels`.

        Centres lie at +0.5 on both sides. Bilinear, no antialiasing, rounds to nearest; outside is 0, and so is what
        lies at infinity (w = 0). OpenCV before 5 places its samples to a 32nd of a pixel.
        """

    def box(self, plane: Floats, width: int, height: int) -> Floats:
        """f32 HW. Mean of a width × height window; border mirrored without repeating the edge (dcb|abcd|cba)."""

    def gaussian(self, matte: Matte, kernel: int) -> Matte:
        """u8 HW. kernel × kernel weights, border as in `box`; rounds to nearest.

        Sigma follows from the kernel as in OpenCV: 0.3 · ((kernel - 1) / 2 - 1) + 0.8, and fixed weights for 3
        (1 2 1), 5 (1 4 6 4 1), 7 (2 7 14 18 14 7 2) and 9 (4 13 30 51 60 51 30 13 4), normalised.
        """

    def erode(self, matte: Matte, footprint: Footprint, times: int) -> Matte:
        """u8 HW. Minimum of matte[y + i - r, x + j - c] where footprint[i, j] is not 0; outside never wins."""

    def dilate(self, matte: Matte, footprint: Footprint, times: int) -> Matte:
        """As `erode`, with the maximum: the footprint is *not* reflected (SciPy's grey dilation does reflect)."""

    def local_linear(self, coefficients: Floats, pixels: Pixels) -> Matte:
        """red · c₀ + green · c₁ + blue · c₂ + c₃ for each of `pixels` (u8 HWC), as u8 HW: rounded, then saturated.

        `coefficients` (f32, h × w × 4, intercept in 0..255) cover the same picture at any size and are interpolated
        as in `resize_linear`.
        """

    def histogram(self, matte: Matte) -> NDArray[np.int64]:
        """256 counts of a u8 HW array, in host memory; above 2²⁴ they are rounded to 24 bits."""

    def bounding_box(self, matte: Matte, above: int) -> Bounds | None:
        """Left, top, right, bottom (the last two exclusive) of the values > `above`; None where there are none."""

    def shrink(self, pixels: Pixels, alpha: Matte, width: int, height: int) -> tuple[Pixels, Matte]:
        """`resize_area` of straight colour (u8 HWC) with its alpha (u8 HW): colours are averaged by their alpha.

        Colour is 0 where the new alpha is 0. Not larger than the source.
        """

    def rgba(self, pixels: Pixels, alpha: Matte) -> Cutout:
        """u8 HWC RGB and u8 HW to straight RGBA; colour is 0 where alpha is 0, so that it compresses to nothing."""

    def blend(self, pixels: Pixels, alpha: Matte, colour: Colour) -> Pixels:
        """u8 HWC: (pixel · alpha + colour · (255 - alpha)) / 255, rounded to nearest, exactly."""

    def composite_over(self, pixels: Pixels, alpha: Matte, background: Pixels) -> Pixels:
        """As `blend`, over a picture (u8 HWC) of the same size instead of a colour."""

    def foreground_sweep(
        self,
        pixels: Pixels,
        alpha: Matte,
        foreground: Floats,
        background: Floats,
        times: int,
        regularisation: np.float32,
    ) -> tuple[Floats, Floats]:
        """Sweeps towards colours with alpha · foreground + (1 - alpha) · background = pixel: f32 HW3 in 0..255, both.

        `foreground` and `background` (f32, h × w × 3) cover the same picture at any size and are interpolated as in
        `resize_linear`. A sweep takes the mean of each over 3 × 3 pixels, edges replicated, and from there goes to
        what minimises, at each pixel, the squared error of that equation plus `regularisation` times the squared
        changes of both; then it saturates. It reads nothing that the same sweep wrote (Jacobi).
        """

    def foreground_solve(
        self, pixels: Pixels, alpha: Matte, foreground: Floats, background: Floats, regularisation: np.float32
    ) -> Pixels:
        """u8 HWC: the foreground of a sweep as in `spread`, whose means are the interpolated colours themselves.

        Rounded to nearest. Where alpha is 0 or 255 the pixel stays as it is.
        """

    def lookup(self, pixels: Pixels, table: Table) -> Pixels:
        """u8 HW or HWC: table[value], or of each channel table[value, channel]. `table`: u8, 256 or 256 × C."""

    def to_lab(self, pixels: Pixels) -> Pixels:
        """u8 HWC RGB to CIE L*a*b* (D65) as u8 HWC: L · 255 / 100, a + 128, b + 128, each rounded and saturated.

        In OpenCV's fixed point, level for level: of dark colours up to 2.7 levels from the formula.
        """

    def from_lab(self, lab: Pixels) -> Pixels:
        """What `to_lab` makes, back to u8 HWC RGB; what sRGB has not is saturated. OpenCV's fixed point, as there."""

    def inpaint(self, pixels: Pixels, hole: Matte, radius: float, method: Inpainting) -> Pixels:
        """u8 HWC with its `hole` (u8 HW, not 0) filled from the rim inwards, each pixel from those in `radius`.

        `telea`: weighted means that follow the distance to the rim (Telea 2004); `navier_stokes`: along lines of equal
        brightness (Bertalmío, Bertozzi, Sapiro 2001). All else stays as it is, and so does a hole around everything.
        What was in the hole moves the fill by some levels near the rim. Sequential: a device waits for the host.
        """

    def distance(self, matte: Matte) -> Floats:
        """f32 HW: exact Euclidean distance of each pixel's centre to the nearest 0 of a u8 HW array.

        1.8e19 everywhere where there is no 0; what lies outside is none.
        """

    def largest_component(self, matte: Matte, above: int) -> Matte:
        """u8 HW: what is kept is the largest component of the values > `above`; all else becomes 0.

        Pixels that touch at a corner are connected. Of components of equal size the one whose first pixel comes
        first, row by row, is taken.
        """

    def fill_holes(self, matte: Matte, above: int) -> Matte:
        """u8 HW: regions of the values ≤ `above` that do not reach the frame become 255; all else stays.

        Pixels that touch only at a corner are not connected: `above` near white takes a hole with its soft rim.
        """

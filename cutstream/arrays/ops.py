"""The array primitives that differ between OpenCV and CuPy. `cpu.py` defines what they compute.

Common to all: they do not modify their arguments, pixel (0, 0) is the top left one, and the centre of a pixel is at
+0.5. `u8` is uint8 in 0..255, `f32` is float32. Footprints and kernels have odd sides and their anchor in the middle.
Arrays are in the memory that `xp` works on unless the docstring says otherwise. Footprints, tables and homographies are
in host memory. Element-wise mathematics needs no primitive: it is written once against `xp`.
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
    """The primitives of one back end. Stateless and thread-safe."""

    @property
    def device(self) -> str:
        """`cpu` or `cuda`, for logs and metrics. No code depends on it."""

    def memory(self) -> tuple[int, int] | None:
        """Return the bytes of the device that all processes use, and all that it has. None if it has none of its own.

        Raises the errors of `errors`.
        """

    @property
    def xp(self) -> Any:
        """The array namespace with NumPy's names: `numpy` or `cupy`."""

    def load(self) -> None:
        """Load the code that the first photo would wait for otherwise. Any thread may call it, any number of times."""

    def to_device(self, array: NDArray[T]) -> NDArray[T]:
        """Copy an array from host memory to the memory that `xp` works on, or return it if that is host memory.

        Only the first and the last stages call it.
        """

    def to_host(self, array: NDArray[T]) -> NDArray[T]:
        """Copy an array back to host memory, C-contiguous."""

    def synchronize(self) -> None:
        """Wait until the device has finished its work. Only measurements need it, results never do."""

    def errors(self) -> AbstractContextManager[None]:
        """Map the device's errors to `DeviceOutOfMemory` and `DeviceLost`. The stages work inside this context."""

    def resize_area(self, pixels: Pixels, width: int, height: int) -> Pixels:
        """Resize u8 HW or HWC: area average along axes that shrink, then bilinear along axes that grow.

        Each of the two steps rounds to nearest.
        """

    def resize_linear(self, pixels: Pixels, width: int, height: int) -> Pixels:
        """Resize u8 HW or HWC bilinearly between pixel centres, without antialiasing.

        Edges are replicated. Rounds to nearest.
        """

    def warp(self, pixels: Pixels, matrix: Homography, width: int, height: int) -> Pixels:
        """Warp u8 HW, or HWC with 3 or 4 channels, by a homography.

        `matrix` (3 × 3) maps (x, y, 1) of the result to (u·w, v·w, w) of `pixels`, with pixel centres at +0.5 in both.
        Bilinear, without antialiasing. Rounds to nearest. Pixels from outside and from infinity (w = 0) are 0. OpenCV
        before version 5 rounds sample positions to a 32nd of a pixel.
        """

    def box(self, plane: Floats | NDArray[np.uint16], width: int, height: int) -> Floats:
        """Average f32 or u16 HW over a width × height window, as f32.

        The border is mirrored without repeating the edge (dcb|abcd|cba).
        """

    def gaussian(self, matte: Matte, kernel: int) -> Matte:
        """Blur u8 HW with a Gaussian kernel × kernel window. The border is that of `box`. Rounds to nearest.

        The kernel determines sigma as in OpenCV: 0.3 · ((kernel - 1) / 2 - 1) + 0.8, except for fixed weights of 3
        (1 2 1), 5 (1 4 6 4 1), 7 (2 7 14 18 14 7 2) and 9 (4 13 30 51 60 51 30 13 4), normalised.
        """

    def erode(self, matte: Matte, footprint: Footprint, times: int) -> Matte:
        """Take the minimum of u8 HW under a footprint with its centre at (r, c), `times` in a row.

        It is the minimum of matte[y + i - r, x + j - c] where footprint[i, j] is not 0. Pixels outside never win.
        """

    def dilate(self, matte: Matte, footprint: Footprint, times: int) -> Matte:
        """Take the maximum of u8 HW under a footprint, otherwise as `erode`.

        The footprint is *not* reflected. SciPy's grey dilation does reflect it.
        """

    def fit_colours(self, guide: Pixels, matte: Matte, width: int, height: int, noise: np.float32) -> Floats:
        """Fit `matte` (u8 h × w) to the colours of `guide` (u8 h × w × 3) in each width × height window.

        Return f32 h × w × 4: slopes for red, green and blue, and the intercept in 0..255, each averaged over the
        windows that a pixel lies in. `noise`, above 0, is added to the variance of each colour, in levels². Borders
        are those of `box`. A window has odd sides and at most 33,000 pixels.
        """

    def local_linear(self, coefficients: Floats, pixels: Pixels) -> Matte:
        """Compute red · c₀ + green · c₁ + blue · c₂ + c₃ for each pixel (u8 HWC) as u8 HW, rounded, then saturated.

        `coefficients` (f32, h × w × 4, intercept in 0..255) cover the same image at any size and are interpolated as in
        `resize_linear`.
        """

    def histogram(self, matte: Matte) -> NDArray[np.int64]:
        """Count the 256 values of u8 HW, in host memory. Counts above 2²⁴ are rounded to 24 bits."""

    def total(self, matte: Matte) -> int:
        """Return the sum of u8 HW."""

    def bounding_box(self, matte: Matte, above: int) -> Bounds | None:
        """Return left, top, right and bottom of the values > `above`, or None if there are none.

        Right and bottom are exclusive.
        """

    def shrink(self, pixels: Pixels, alpha: Matte, width: int, height: int) -> tuple[Pixels, Matte]:
        """Shrink straight colour (u8 HWC) with its alpha (u8 HW) as `resize_area` does, weighting colours by alpha.

        Colour is 0 where the new alpha is 0. The result must not be larger than the source.
        """

    def rgba(self, pixels: Pixels, alpha: Matte) -> Cutout:
        """Join RGB (u8 HWC) and alpha (u8 HW) to straight RGBA. Colour is 0 where alpha is 0, so it compresses well."""

    def blend(self, pixels: Pixels, alpha: Matte, colour: Colour) -> Pixels:
        """Composite u8 HWC over a colour: (pixel · alpha + colour · (255 - alpha)) / 255, rounded to nearest."""

    def composite_over(self, pixels: Pixels, alpha: Matte, background: Pixels) -> Pixels:
        """Composite u8 HWC over an image (u8 HWC) of the same size, with the formula of `blend`."""

    def foreground_sweep(
        self,
        pixels: Pixels,
        alpha: Matte,
        foreground: Floats,
        background: Floats,
        times: int,
        regularisation: np.float32,
    ) -> tuple[Floats, Floats]:
        """Estimate foreground and background colours in `times` sweeps. Both are f32 HW3 in 0..255.

        The colours approach alpha · foreground + (1 - alpha) · background = pixel. `foreground` and `background` (f32,
        h × w × 3) cover the same image at any size and are interpolated as in `resize_linear`. A sweep averages each
        over 3 × 3 pixels, with replicated edges. From these means it moves, at each pixel, to the colours that minimise
        the squared error of the equation plus `regularisation` times the squared changes of both. Then it saturates. A
        sweep reads nothing that it has written itself (Jacobi).
        """

    def foreground_solve(
        self, pixels: Pixels, alpha: Matte, foreground: Floats, background: Floats, regularisation: np.float32
    ) -> Pixels:
        """Solve for the foreground colours (u8 HWC) by one sweep, as in `foreground_sweep`, without averaging.

        The interpolated colours take the place of the means. Rounds to nearest. Where alpha is 0 or 255 the pixel stays
        unchanged.
        """

    def lookup(self, pixels: Pixels, table: Table) -> Pixels:
        """Replace each value of u8 HW or HWC by table[value], or per channel by table[value, channel].

        `table` is u8, 256 or 256 × C.
        """

    def to_lab(self, pixels: Pixels) -> Pixels:
        """Convert u8 HWC RGB to CIE L*a*b* (D65) as u8 HWC: L · 255 / 100, a + 128, b + 128, rounded and saturated.

        The results are those of OpenCV's fixed-point arithmetic. Dark colours differ from the formula by up to 2.7
        levels.
        """

    def from_lab(self, lab: Pixels) -> Pixels:
        """Convert the result of `to_lab` back to u8 HWC RGB, in OpenCV's fixed-point arithmetic.

        Colours outside sRGB are saturated.
        """

    def inpaint(self, pixels: Pixels, hole: Matte, radius: float, method: Inpainting) -> Pixels:
        """Fill the hole of u8 HWC (where `hole`, u8 HW, is not 0) from its rim inwards.

        Each pixel is computed from the known pixels within `radius`. `telea` takes weighted means in the order of the
        distance to the rim (Telea 2004). `navier_stokes` continues lines of equal brightness (Bertalmío, Bertozzi,
        Sapiro 2001). All other pixels stay unchanged, and so does a hole that covers everything. Near the rim the
        former contents of the hole change the result by a few levels. Sequential: a device waits for the host.
        """

    def distance(self, matte: Matte) -> Floats:
        """Measure the exact Euclidean distance (f32 HW) from each pixel's centre to the nearest 0 of u8 HW.

        If there is no 0, all distances are 1.8e19. Pixels outside do not count as 0.
        """

    def largest_component(self, matte: Matte, above: int) -> Matte:
        """Keep the largest connected component of the values > `above` of u8 HW, and set all other pixels to 0.

        Pixels that touch at a corner are connected. Among components of equal size, the one whose first pixel comes
        first, row by row, is kept.
        """

    def fill_holes(self, matte: Matte, above: int) -> Matte:
        """Set connected regions of values ≤ `above` that do not touch the border of u8 HW to 255.

        Pixels that touch only at a corner are not connected. With `above` near 255 a hole is filled with its soft rim.
        """

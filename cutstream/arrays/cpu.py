"""The primitives in OpenCV, which define what every back end computes. `ops.py` states their contracts.

What OpenCV would need hundreds of calls for is compiled from loops (`compiled/`), and loaded when it is first used.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from cutstream.arrays.ops import Bounds, Colour, Floats, Footprint, Homography, Inpainting, T, Table
from cutstream.images import Cutout, Matte, Pixels

Unsigned = TypeVar("Unsigned", np.uint8, np.uint16)

# Full-size arithmetic works on strips: its intermediate results stay in the second-level cache, and a 50-megapixel
# image does not need gigabytes of float32.
STRIP_PIXELS = 64 * 1024

# The centre of the first pixel is (0, 0) in OpenCV and (0.5, 0.5) here.
_loading = threading.Lock()

FROM_CENTRES = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
TO_CENTRES = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
_INPAINTING = {"telea": cv2.INPAINT_TELEA, "navier_stokes": cv2.INPAINT_NS}


class CpuOps:
    """The back end for the CPU. OpenCV uses one thread per call, because photos run in parallel instead."""

    def __init__(self) -> None:
        cv2.setNumThreads(1)

    @property
    def device(self) -> str:
        return "cpu"

    def memory(self) -> tuple[int, int] | None:
        return None

    @property
    def xp(self) -> Any:
        return np

    def load(self) -> None:
        _loops()

    def to_device(self, array: NDArray[T]) -> NDArray[T]:
        return array

    def to_host(self, array: NDArray[T]) -> NDArray[T]:
        return np.ascontiguousarray(array)

    def synchronize(self) -> None:
        pass

    def errors(self) -> AbstractContextManager[None]:
        return nullcontext()

    def resize_area(self, pixels: Pixels, width: int, height: int) -> Pixels:
        rows, columns = pixels.shape[:2]
        shrunk = _resize(pixels, min(columns, width), min(rows, height), cv2.INTER_AREA)
        return _resize(shrunk, width, height, cv2.INTER_LINEAR)

    def resize_linear(self, pixels: Pixels, width: int, height: int) -> Pixels:
        return _resize(pixels, width, height, cv2.INTER_LINEAR)

    def warp(self, pixels: Pixels, matrix: Homography, width: int, height: int) -> Pixels:
        warped = cv2.warpPerspective(
            pixels,
            TO_CENTRES @ matrix @ FROM_CENTRES,
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
        )
        return np.asarray(warped, np.uint8)

    def box(self, plane: Floats | NDArray[np.uint16], width: int, height: int) -> Floats:
        averaged = cv2.boxFilter(plane, cv2.CV_32F, (width, height), borderType=cv2.BORDER_REFLECT_101)
        return np.asarray(averaged, np.float32)

    def gaussian(self, matte: Matte, kernel: int) -> Matte:
        return np.asarray(cv2.GaussianBlur(matte, (kernel, kernel), 0, borderType=cv2.BORDER_REFLECT_101), np.uint8)

    def erode(self, matte: Matte, footprint: Footprint, times: int) -> Matte:
        return _morph(cv2.erode, matte, footprint, times, outside=255)

    def dilate(self, matte: Matte, footprint: Footprint, times: int) -> Matte:
        return _morph(cv2.dilate, matte, footprint, times, outside=0)

    def fit_colours(self, guide: Pixels, matte: Matte, width: int, height: int, noise: np.float32) -> Floats:
        coefficients = np.empty((*matte.shape, 4), np.float32)
        _loops().fit_colours(_rows(guide), np.ascontiguousarray(matte), width, height, noise, coefficients)
        return coefficients

    def local_linear(self, coefficients: Floats, pixels: Pixels) -> Matte:
        out = np.zeros(pixels.shape[:2], np.uint8)
        _loops().local_linear(np.ascontiguousarray(coefficients), _rows(pixels), out)
        return out

    def total(self, matte: Matte) -> int:
        return int(cv2.sumElems(matte)[0])

    def histogram(self, matte: Matte) -> NDArray[np.int64]:
        return cv2.calcHist([matte], [0], None, [256], [0, 256]).ravel().astype(np.int64)

    def bounding_box(self, matte: Matte, above: int) -> Bounds | None:
        _, mask = cv2.threshold(matte, above, 255, cv2.THRESH_BINARY)
        left, top, width, height = cv2.boundingRect(mask)
        return (left, top, left + width, top + height) if width else None

    def shrink(self, pixels: Pixels, alpha: Matte, width: int, height: int) -> tuple[Pixels, Matte]:
        opaque = np.multiply(alpha, np.uint16(255), dtype=np.uint16)
        weight = _resize(opaque, width, height, cv2.INTER_AREA)
        small = np.empty((height, width, 3), np.uint8)
        for channel in range(3):
            premultiplied = cv2.multiply(cv2.extractChannel(pixels, channel), alpha, dtype=cv2.CV_16U)
            colour = _resize(np.asarray(premultiplied, np.uint16), width, height, cv2.INTER_AREA)
            cv2.insertChannel(cv2.divide(colour, weight, scale=255, dtype=cv2.CV_8U), small, channel)
        small_alpha = cv2.convertScaleAbs(weight, alpha=1 / 255)
        return np.asarray(cv2.copyTo(small, small_alpha), np.uint8), np.asarray(small_alpha, np.uint8)

    def rgba(self, pixels: Pixels, alpha: Matte) -> Cutout:
        cutout = np.empty((*alpha.shape, 4), np.uint8)
        _loops().rgba(_rows(pixels), np.ascontiguousarray(alpha), cutout)
        return cutout

    def blend(self, pixels: Pixels, alpha: Matte, colour: Colour) -> Pixels:
        base = np.array([*colour, 0], np.float64)
        return _composited(pixels, alpha, lambda strip: base)

    def composite_over(self, pixels: Pixels, alpha: Matte, background: Pixels) -> Pixels:
        return _composited(pixels, alpha, lambda strip: background[strip])

    def foreground_sweep(
        self,
        pixels: Pixels,
        alpha: Matte,
        foreground: Floats,
        background: Floats,
        times: int,
        regularisation: np.float32,
    ) -> tuple[Floats, Floats]:
        height, width = alpha.shape
        colours, behind = (
            np.asarray(cv2.resize(guess, (width, height), interpolation=cv2.INTER_LINEAR), np.float32).reshape(
                height, -1
            )
            for guess in (foreground, background)
        )
        _loops().foreground_sweep(_rows(pixels), np.ascontiguousarray(alpha), colours, behind, times, regularisation)
        return colours.reshape(height, width, 3), behind.reshape(height, width, 3)

    def foreground_solve(
        self, pixels: Pixels, alpha: Matte, foreground: Floats, background: Floats, regularisation: np.float32
    ) -> Pixels:
        rows, alpha = _rows(pixels), np.ascontiguousarray(alpha)
        out = rows.copy()
        _loops().foreground_solve(rows, alpha, _rows(foreground), _rows(background), regularisation, out)
        return out.reshape(pixels.shape)

    def lookup(self, pixels: Pixels, table: Table) -> Pixels:
        return np.asarray(cv2.LUT(pixels, table.reshape(1, 256, -1)), np.uint8)

    def to_lab(self, pixels: Pixels) -> Pixels:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB), np.uint8)

    def from_lab(self, lab: Pixels) -> Pixels:
        return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8)

    def inpaint(self, pixels: Pixels, hole: Matte, radius: float, method: Inpainting) -> Pixels:
        height, width = hole.shape
        # With a single row or column OpenCV reads outside the image, and the result differs from run to run.
        more = 0, int(height < 2), 0, int(width < 2)
        thick, thick_hole = (cv2.copyMakeBorder(each, *more, cv2.BORDER_REPLICATE) for each in (pixels, hole))
        filled = cv2.inpaint(thick, thick_hole, radius, _INPAINTING[method])[:height, :width]
        return np.ascontiguousarray(filled, np.uint8)

    def distance(self, matte: Matte) -> Floats:
        return np.asarray(cv2.distanceTransform(matte, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)

    def largest_component(self, matte: Matte, above: int) -> Matte:
        _, mask = cv2.threshold(matte, above, 255, cv2.THRESH_BINARY)
        count, labels = cv2.connectedComponents(mask, connectivity=8, ltype=cv2.CV_32S)
        if count == 1:
            return np.zeros_like(matte)
        sizes = np.bincount(labels.ravel())[1:]  # OpenCV's own statistics compute more and take ten times as long
        # OpenCV numbers components by blocks of pixels, so the first of several equal ones has to be looked up.
        equal = np.flatnonzero(sizes == sizes.max()) + 1
        chosen = equal[0] if len(equal) == 1 else labels.flat[np.isin(labels, equal).argmax()]
        return np.asarray(cv2.copyTo(matte, (labels == chosen).view(np.uint8)), np.uint8)

    def fill_holes(self, matte: Matte, above: int) -> Matte:
        _, regions = cv2.threshold(matte, above, 255, cv2.THRESH_BINARY_INV)
        # A border of background joins all regions that reach the edge: one flood fill removes them.
        bordered = cv2.copyMakeBorder(regions, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=255)
        cv2.floodFill(bordered, None, (0, 0), 0, flags=4)
        return np.asarray(cv2.bitwise_or(matte, bordered[1:-1, 1:-1]), np.uint8)


def _loops() -> Any:
    """Return the module of compiled loops. Who asks while another thread loads it waits."""
    with _loading:
        from cutstream.arrays.compiled import loops

        return loops


def _rows(pixels: NDArray[T]) -> NDArray[T]:
    """Return HWC as H × W·C, C-contiguous."""
    return np.ascontiguousarray(pixels).reshape(len(pixels), -1)


def connected_parts(matte: Matte, above: int) -> tuple[int, NDArray[np.int32]]:
    """Label the connected components of the values > `above` of u8 HW in host memory: their number, and i32 HW.

    Labels begin at 1; 0 is the rest. Pixels that touch at a corner are connected. It is no primitive of `ArrayOps`:
    what follows is a table of a few parts, which a device has no use for.
    """
    _, mask = cv2.threshold(matte, above, 255, cv2.THRESH_BINARY)
    count, labels = cv2.connectedComponents(mask, connectivity=8, ltype=cv2.CV_32S)
    return count - 1, np.asarray(labels, np.int32)


def _composited(pixels: Pixels, alpha: Matte, base: Callable[[slice], Any]) -> Pixels:
    """Composite over `base`, which returns the background of a strip: rows of an image, or a colour."""
    out = np.empty(pixels.shape, np.uint8)
    for strip in _strips(pixels):
        weight, behind = cv2.cvtColor(alpha[strip], cv2.COLOR_GRAY2RGB), base(strip)
        # 255 is odd, so no quotient lies half-way between integers, and rounding the difference rounds the sum.
        difference = cv2.subtract(pixels[strip], behind, dtype=cv2.CV_16S)
        cv2.multiply(difference, weight, dst=difference, scale=1 / 255, dtype=cv2.CV_16S)
        cv2.add(difference, behind, dst=out[strip], dtype=cv2.CV_8U)
    return out


def _morph(operation: Any, matte: Matte, footprint: Footprint, times: int, outside: int) -> Matte:
    result = operation(matte, footprint, iterations=times, borderType=cv2.BORDER_CONSTANT, borderValue=outside)
    return np.asarray(result, np.uint8)


def _resize(pixels: NDArray[Unsigned], width: int, height: int, interpolation: int) -> NDArray[Unsigned]:
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=interpolation), pixels.dtype)


def _strips(pixels: Pixels) -> Iterator[slice]:
    height, width = pixels.shape[:2]
    rows = _strip_rows(width)
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


def _strip_rows(width: int) -> int:
    return max(1, STRIP_PIXELS // width)

"""The primitives in CuPy and our own CUDA kernels, on arrays in device memory. They compute what `cpu.py` computes.

All work is queued on the default stream. The host waits only where a comment says `# sync`. Footprints are small and
stay in host memory: the kernels get copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cutstream.arrays import fixed_point
from cutstream.arrays.cpu import CpuOps
from cutstream.arrays.ops import Bounds, Colour, Floats, Footprint, Homography, Inpainting, T, Table
from cutstream.errors import DeviceLost, DeviceOutOfMemory
from cutstream.images import Cutout, Matte, Pixels

KERNELS = {
    "resize": ("resize_linear", "resize_area", "shrink"),
    "warp": ("warp",),
    "blur": ("box_rows", "box_columns", "gaussian_rows", "gaussian_columns"),
    "morphology": ("extremum", "extremum_columns", "transpose"),
    "fit": ("fit_windows", "average_fits"),
    "pixels": ("local_linear", "rgba", "blend", "composite_over", "lookup"),
    "lab": ("to_lab", "from_lab"),
    "foreground": ("enlarge", "foreground_sweep", "foreground_solve"),
    "distance": ("distance_columns", "distance_rows"),
    "components": (
        "init_components",
        "join_components",
        "count_components",
        "keep_component",
        "init_holes",
        "join_holes",
        "fill_holes",
    ),
    "measure": ("histogram", "bounding_box"),
}
# Without fused multiply-add every product and sum is rounded on its own, as in OpenCV.
OPTIONS = ("--std=c++17", "--fmad=false")

BLOCK = (32, 8)
REDUCTION_BLOCKS, REDUCTION_THREADS = 512, 256  # of `histogram` and `bounding_box`; threads per block

_OUT_OF_MEMORY = "cudaErrorMemoryAllocation"
_GAUSSIANS = {3: (1, 2, 1), 5: (1, 4, 6, 4, 1), 7: (2, 7, 14, 18, 14, 7, 2), 9: (4, 13, 30, 51, 60, 51, 30, 13, 4)}


class NoDevice(Exception):
    """No usable GPU. The message says what is missing and what to do."""


def open_gpu() -> GpuOps:
    """Open the first visible device and compile the kernels, or take them from CuPy's cache. Raises `NoDevice`."""
    cupy = find_gpu()
    return GpuOps(cupy, compile_kernels(cupy))


def find_gpu() -> Any:
    """Return CuPy, which sees a device and has not opened it yet. Raises `NoDevice`."""
    try:
        import cupy
    except ImportError as exc:
        raise NoDevice("CuPy is not installed: run `make setup` in the checkout") from exc
    try:
        cupy.cuda.runtime.getDeviceCount()  # it raises where it would return 0
    except cupy.cuda.runtime.CUDARuntimeError as exc:
        raise NoDevice(f"no CUDA device: {exc}; check `nvidia-smi` and CUDA_VISIBLE_DEVICES") from exc
    return cupy


def compile_kernels(cupy: Any) -> dict[str, Any]:
    """Compile all kernels, by name."""
    modules = {file: cupy.RawModule(code=source(file), options=OPTIONS) for file in KERNELS}
    return {name: modules[file].get_function(name) for file, names in KERNELS.items() for name in names}


def source(file: str) -> str:
    """Return the CUDA source of one file of KERNELS."""
    return (files("cutstream.arrays") / "kernels" / f"{file}.cu").read_text(encoding="utf-8")


class GpuOps:
    """The back end for a CUDA device. `cupy` is an argument, so that tests can pass a simulated device."""

    def __init__(self, cupy: Any, kernels: Mapping[str, Any]) -> None:
        self._cupy = cupy
        self._kernels = kernels

    @property
    def device(self) -> str:
        return "cuda"

    def memory(self) -> tuple[int, int] | None:
        with self.errors():
            free, total = self._cupy.cuda.runtime.memGetInfo()
        return total - free, total

    @property
    def xp(self) -> Any:
        return self._cupy

    def load(self) -> None:
        pass  # `open_gpu` has compiled the kernels

    def to_device(self, array: NDArray[T]) -> NDArray[T]:
        if isinstance(array, self._cupy.ndarray):
            raise TypeError("this array is in device memory already: an earlier stage has copied it there")
        sent: NDArray[T] = self._cupy.asarray(array)
        return sent

    def to_host(self, array: NDArray[T]) -> NDArray[T]:
        fetched: NDArray[T] = self._cupy.asnumpy(self._checked(array))  # sync: the host reads the values next
        return fetched

    def synchronize(self) -> None:
        self._cupy.cuda.get_current_stream().synchronize()  # sync: its purpose

    @contextmanager
    def errors(self) -> Iterator[None]:
        cuda = self._cupy.cuda
        try:
            yield
        except cuda.memory.OutOfMemoryError as exc:
            raise DeviceOutOfMemory(str(exc)) from exc
        except (cuda.runtime.CUDARuntimeError, cuda.driver.CUDADriverError) as exc:
            if _OUT_OF_MEMORY in str(exc) or "CUDA_ERROR_OUT_OF_MEMORY" in str(exc):
                raise DeviceOutOfMemory(str(exc)) from exc
            raise DeviceLost(str(exc)) from exc

    def resize_area(self, pixels: Pixels, width: int, height: int) -> Pixels:
        rows, columns = pixels.shape[:2]
        shrunk = self._resize("resize_area", pixels, min(columns, width), min(rows, height))
        return self._resize("resize_linear", shrunk, width, height)

    def resize_linear(self, pixels: Pixels, width: int, height: int) -> Pixels:
        return self._resize("resize_linear", pixels, width, height)

    def warp(self, pixels: Pixels, matrix: Homography, width: int, height: int) -> Pixels:
        pixels = self._checked(pixels)
        rows, columns, *channels = pixels.shape
        out = self._empty((height, width, *channels), np.uint8)
        on_device = self._cupy.asarray(np.ascontiguousarray(matrix, np.float64))
        samples = channels[0] if channels else 1
        self._launch("warp", (height, width), pixels, on_device, rows, columns, samples, out, height, width)
        return out

    def box(self, plane: Floats | NDArray[np.uint16], width: int, height: int) -> Floats:
        checked: NDArray[Any] = self._checked(plane)
        floats = checked if checked.dtype == np.float32 else checked.astype(np.float32)
        sums, out = self._empty(plane.shape, np.float32), self._empty(plane.shape, np.float32)
        self._launch("box_rows", plane.shape, floats, sums, *plane.shape, width)
        self._launch("box_columns", plane.shape, sums, out, *plane.shape, height, np.float32(width * height))
        return out

    def gaussian(self, matte: Matte, kernel: int) -> Matte:
        matte = self._checked(matte)
        weights = self._cupy.asarray(gaussian_weights(kernel))
        sums, out = self._empty(matte.shape, np.uint16), self._empty(matte.shape, np.uint8)
        self._launch("gaussian_rows", matte.shape, matte, weights, sums, *matte.shape, kernel)
        self._launch("gaussian_columns", matte.shape, sums, weights, out, *matte.shape, kernel)
        return out

    def erode(self, matte: Matte, footprint: Footprint, times: int) -> Matte:
        return self._extremum(matte, footprint, times, flip=255)

    def dilate(self, matte: Matte, footprint: Footprint, times: int) -> Matte:
        return self._extremum(matte, footprint, times, flip=0)

    def fit_colours(self, guide: Pixels, matte: Matte, width: int, height: int, noise: np.float32) -> Floats:
        guide, matte = self._checked(guide), self._checked(matte)
        size = matte.shape
        fits, out = self._empty((*size, 4), np.float32), self._empty((*size, 4), np.float32)
        self._launch("fit_windows", size, guide, matte, fits, *size, width, height, noise)
        self._launch("average_fits", size, fits, out, *size, width, height)
        return out

    def local_linear(self, coefficients: Floats, pixels: Pixels) -> Matte:
        coefficients, pixels = self._checked(coefficients), self._checked(pixels)
        size = pixels.shape[:2]
        out = self._empty(size, np.uint8)
        self._launch("local_linear", size, coefficients, *coefficients.shape[:2], pixels, out, *size)
        return out

    def histogram(self, matte: Matte) -> NDArray[np.int64]:
        matte = self._checked(matte)
        counts = self._cupy.zeros(256, np.uint32)
        self._reduce("histogram", matte.size, matte, counts, np.int64(matte.size))
        return self.to_host(counts).astype(np.int64)  # sync: the caller computes with the counts

    def total(self, matte: Matte) -> int:
        return int(self.histogram(matte) @ np.arange(256))

    def bounding_box(self, matte: Matte, above: int) -> Bounds | None:
        matte = self._checked(matte)
        reach = self._cupy.zeros(4, np.int32)
        height, width = matte.shape
        self._reduce("bounding_box", matte.size, matte, reach, height, width, above)
        from_right, from_bottom, right, bottom = self.to_host(reach).tolist()  # sync: the caller needs the box
        return (width - from_right, height - from_bottom, right, bottom) if right else None

    def shrink(self, pixels: Pixels, alpha: Matte, width: int, height: int) -> tuple[Pixels, Matte]:
        pixels, alpha = self._checked(pixels), self._checked(alpha)
        small = self._empty((height, width, 3), np.uint8)
        small_alpha = self._empty((height, width), np.uint8)
        self._launch("shrink", (height, width), pixels, alpha, *alpha.shape, small, small_alpha, *small_alpha.shape)
        return small, small_alpha

    def rgba(self, pixels: Pixels, alpha: Matte) -> Cutout:
        pixels, alpha = self._checked(pixels), self._checked(alpha)
        cutout = self._empty((*alpha.shape, 4), np.uint8)
        self._launch("rgba", alpha.shape, pixels, alpha, cutout, *alpha.shape)
        return cutout

    def blend(self, pixels: Pixels, alpha: Matte, colour: Colour) -> Pixels:
        pixels, alpha = self._checked(pixels), self._checked(alpha)
        out = self._empty(pixels.shape, np.uint8)
        self._launch("blend", alpha.shape, pixels, alpha, out, *alpha.shape, *colour)
        return out

    def composite_over(self, pixels: Pixels, alpha: Matte, background: Pixels) -> Pixels:
        pixels, alpha, background = self._checked(pixels), self._checked(alpha), self._checked(background)
        out = self._empty(pixels.shape, np.uint8)
        self._launch("composite_over", alpha.shape, pixels, alpha, background, out, *alpha.shape)
        return out

    def foreground_sweep(
        self,
        pixels: Pixels,
        alpha: Matte,
        foreground: Floats,
        background: Floats,
        times: int,
        regularisation: np.float32,
    ) -> tuple[Floats, Floats]:
        pixels, alpha = self._checked(pixels), self._checked(alpha)
        size = alpha.shape
        colours = tuple(self._enlarged(guess, *size) for guess in (foreground, background))
        for _ in range(times):
            swept = self._empty(pixels.shape, np.float32), self._empty(pixels.shape, np.float32)
            self._launch("foreground_sweep", size, pixels, alpha, *colours, *swept, *size, regularisation)
            colours = swept
        return colours[0], colours[1]

    def foreground_solve(
        self, pixels: Pixels, alpha: Matte, foreground: Floats, background: Floats, regularisation: np.float32
    ) -> Pixels:
        pixels, alpha = self._checked(pixels), self._checked(alpha)
        foreground, background = self._checked(foreground), self._checked(background)
        out = self._empty(pixels.shape, np.uint8)
        grid, size = foreground.shape[:2], alpha.shape
        self._launch("foreground_solve", size, pixels, alpha, foreground, background, *grid, out, *size, regularisation)
        return out

    def lookup(self, pixels: Pixels, table: Table) -> Pixels:
        pixels = self._checked(pixels)
        out = self._empty(pixels.shape, np.uint8)
        height, width, *channels = pixels.shape
        samples = channels[0] if channels else 1
        on_device = self._cupy.asarray(np.ascontiguousarray(table))
        size = height, width * samples
        self._launch("lookup", size, pixels, on_device, out, *size, samples)
        return out

    def to_lab(self, pixels: Pixels) -> Pixels:
        return self._converted("to_lab", pixels, fixed_point.LINEAR, fixed_point.ROOTS)

    def from_lab(self, lab: Pixels) -> Pixels:
        return self._converted("from_lab", lab, fixed_point.LIGHTNESS, fixed_point.LEVELS)

    def inpaint(self, pixels: Pixels, hole: Matte, radius: float, method: Inpainting) -> Pixels:
        # sync: each filled pixel changes the order in which the next are filled, which a device cannot do in parallel
        filled = CpuOps().inpaint(self.to_host(pixels), self.to_host(hole), radius, method)
        return self.to_device(filled)

    def distance(self, matte: Matte) -> Floats:
        matte = self._checked(matte)
        columns, out = self._empty(matte.shape, np.int32), self._empty(matte.shape, np.float32)
        self._launch("distance_columns", (1, matte.shape[1]), matte, columns, *matte.shape)
        self._launch("distance_rows", matte.shape, columns, out, *matte.shape)
        return out

    def largest_component(self, matte: Matte, above: int) -> Matte:
        matte = self._checked(matte)
        size = matte.shape
        parents, out = self._empty(size, np.int32), self._empty(size, np.uint8)
        sizes = self._cupy.zeros(size, np.int32)
        self._launch("init_components", size, matte, parents, *size, above)
        self._launch("join_components", size, parents, *size)
        self._launch("count_components", size, parents, sizes, *size)
        chosen = self._cupy.argmax(sizes)  # the first of several maxima; it stays on the device
        self._launch("keep_component", size, matte, parents, chosen, out, *size)
        return out

    def fill_holes(self, matte: Matte, above: int) -> Matte:
        matte = self._checked(matte)
        size = matte.shape
        parents, out = self._empty((matte.size + 1,), np.int32), self._empty(size, np.uint8)
        self._launch("init_holes", size, matte, parents, *size, above)
        self._launch("join_holes", size, parents, *size)
        self._launch("fill_holes", size, matte, parents, out, *size)
        return out

    def _converted(self, kernel: str, pixels: Pixels, *tables: NDArray[Any]) -> Pixels:
        pixels = self._checked(pixels)
        out = self._empty(pixels.shape, np.uint8)
        self._launch(kernel, pixels.shape[:2], pixels, *map(self._cupy.asarray, tables), out, *pixels.shape[:2])
        return out

    def _resize(self, kernel: str, pixels: Pixels, width: int, height: int) -> Pixels:
        pixels = self._checked(pixels)
        rows, columns, *channels = pixels.shape
        if (rows, columns) == (height, width):
            return pixels
        out = self._empty((height, width, *channels), np.uint8)
        samples = channels[0] if channels else 1
        self._launch(kernel, (height, width * samples), pixels, rows, columns, samples, out, height, width)
        return out

    def _enlarged(self, colours: Floats, height: int, width: int) -> Floats:
        colours = self._checked(colours)
        out = self._empty((height, width, 3), np.float32)
        self._launch("enlarge", (height, width), colours, *colours.shape[:2], out, height, width)
        return out

    def _extremum(self, matte: Matte, footprint: Footprint, times: int, flip: int) -> Matte:
        matte = self._checked(matte)
        if footprint.all():
            rows, columns = (times * (side - 1) + 1 for side in footprint.shape)
            return self._rectangle(matte, rows, columns, flip)
        on_device = self._cupy.asarray(np.ascontiguousarray(footprint))
        for _ in range(times):
            out = self._empty(matte.shape, np.uint8)
            self._launch("extremum", matte.shape, matte, on_device, out, *matte.shape, *footprint.shape, flip)
            matte = out
        return matte

    def _rectangle(self, matte: Matte, rows: int, columns: int, flip: int) -> Matte:
        """Process columns only, where neighbouring threads read neighbouring bytes; rows are transposed first."""
        matte = self._columns(matte, rows, flip)
        return matte if columns == 1 else self._transposed(self._columns(self._transposed(matte), columns, flip))

    def _columns(self, matte: Matte, window: int, flip: int) -> Matte:
        height, width = matte.shape
        window = min(window, 2 * height + 1)
        if window == 1:
            return matte
        out = self._empty(matte.shape, np.uint8)
        self._launch("extremum_columns", (-(-height // window), width), matte, out, height, width, window, flip)
        return out

    def _transposed(self, matte: Matte) -> Matte:
        height, width = matte.shape
        out = self._empty((width, height), np.uint8)
        grid = (-(-width // BLOCK[0]), -(-height // BLOCK[0]))
        self._kernels["transpose"](grid, BLOCK, _typed(matte, out, height, width))
        return out

    def _launch(self, kernel: str, size: tuple[int, ...], *arguments: Any) -> None:
        """Launch a kernel with one thread for each of height × width."""
        height, width = size
        grid = (-(-width // BLOCK[0]), -(-height // BLOCK[1]))
        self._kernels[kernel](grid, BLOCK, _typed(*arguments))

    def _reduce(self, kernel: str, size: int, *arguments: Any) -> None:
        """Launch a kernel that reduces `size` values to one result."""
        blocks = min(REDUCTION_BLOCKS, -(-size // REDUCTION_THREADS))
        self._kernels[kernel]((blocks,), (REDUCTION_THREADS,), _typed(*arguments))

    def _empty(self, shape: tuple[int, ...], dtype: type[T]) -> NDArray[T]:
        empty: NDArray[T] = self._cupy.empty(shape, dtype)
        return empty

    def _checked(self, array: NDArray[T]) -> NDArray[T]:
        """Return a C-contiguous array, as the kernels read it. Raises TypeError for an array of host memory."""
        if not isinstance(array, self._cupy.ndarray):
            raise TypeError(f"a {type(array).__name__} of host memory: pass it through `ops.to_device` first")
        contiguous: NDArray[T] = self._cupy.ascontiguousarray(array)
        return contiguous


def gaussian_weights(kernel: int) -> NDArray[np.int32]:
    """Return Gaussian weights in units of 1/256 that add up to 256.

    They are rounded as in OpenCV: from the outside inwards, each with the rounding errors of those before it.
    """
    radius = kernel // 2
    sigma = 0.3 * (radius - 1) + 0.8
    bell = np.exp(-((np.arange(kernel) - radius) ** 2) / (2 * sigma**2))
    exact = np.array(_GAUSSIANS.get(kernel, bell), np.float64)
    exact *= 256 / exact.sum()
    half, error = [], 0.0
    for weight in exact[:radius]:
        half.append(round(weight + error))
        error += weight - half[-1]
    return np.array([*half, 256 - 2 * sum(half), *reversed(half)], np.int32)


def _typed(*arguments: Any) -> tuple[Any, ...]:
    """Convert integers to 32 bits, as the kernels take them. CuPy passes a Python integer as 64 bits."""
    return tuple(np.int32(argument) if isinstance(argument, int) else argument for argument in arguments)

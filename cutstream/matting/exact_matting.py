"""Solve alpha as a linear system over the unknown pixels, with PyMatting's Laplacians: the field's exact mattings.

They run in host memory, on one core, and take seconds for each photo. A process's first one takes about two
seconds more, and a minute if PyMatting's machine code is not yet in numba's cache.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from math import sqrt
from threading import Lock
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cutstream.arrays.ops import ArrayOps
from cutstream.errors import InvalidOption
from cutstream.images import Image, Matte, Pixels
from cutstream.images.geometry import Box, scaled_size
from cutstream.launch import python_command
from cutstream.matting.guided_filter import fit_guided
from cutstream.matting.specs import MattingMethod
from cutstream.matting.trimap import BACKGROUND, SUBJECT, UNKNOWN, mark_mixed_unknown

Vector: TypeAlias = NDArray[np.float64]

CONTEXT = 0.03  # in long sides: how far around the band known pixels are used
MIN_SIDE = 41  # two of the large kernel's windows; smaller images are extended by their borders
EPSILON, KERNEL = np.float32(1e-5), (5, 5)  # of the fit that brings alpha to the photo's size

TOLERANCE = 1e-5

COMPILE = python_command("cutstream.matting.exact_matting")
"""The command that compiles PyMatting, unless its machine code is kept, and ends."""

# Photos are solved one at a time: each takes up to 0.6 GB, and not every threading layer of numba works with
# two callers.
_one_at_a_time = Lock()


class Method(NamedTuple):
    """PyMatting's function, the most pixels that it gets and how many of them unknown, and the solver's most steps.

    That bounds memory and time: `bytes` at most beside the photo's own planes, and about 15 s on one core, 10 of them
    in the solver (`python -m benchmarks.micro.exact_matting`).
    """

    laplacian: str
    max_pixels: int
    max_unknown: int
    max_steps: int
    bytes: int


METHODS: dict[MattingMethod, Method] = {
    "closed_form": Method("cf_laplacian", 300_000, 100_000, 2000, 300_000_000),
    "random_walk": Method("rw_laplacian", 300_000, 300_000, 2000, 200_000_000),
    "large_kernel": Method("lkm_laplacian", 300_000, 100_000, 500, 150_000_000),
    "learning_based": Method("lbdm_laplacian", 200_000, 100_000, 2000, 550_000_000),
    "knn": Method("knn_laplacian", 150_000, 100_000, 1500, 600_000_000),
}


class System(NamedTuple):
    """The system matrix · x = right over the unknown pixels: the matrix as its product with x, and its diagonal."""

    product: Callable[[Vector], Vector]
    diagonal: Vector
    right: Vector


def solve_exact(trimap: Matte, alpha: Matte, image: Image, method: MattingMethod, ops: ArrayOps) -> Matte:
    """Return alpha (u8 HW, the photo's size) where the trimap is unknown. The solver starts from `alpha`.

    Only the band's surroundings are worked on, at no more than the method's most pixels, and a wide band at fewer: too
    few steps for all of its pixels would err more. The guided filter brings the result to the photo's size. Raises
    `InvalidOption` if PyMatting is missing or cannot be used.
    """
    pymatting = _import_pymatting()
    frame = _frame_around_band(trimap, ops)
    pixels, known, before = image.pixels[frame.slices], trimap[frame.slices], alpha[frame.slices]
    unknown = int(ops.histogram(trimap)[UNKNOWN])  # sync: the size of the system
    size = _limited_size(frame.width, frame.height, unknown, METHODS[method])
    guide = ops.resize_area(pixels, *size)
    small = (guide, mark_mixed_unknown(ops.resize_area(known, *size), ops), ops.resize_area(before, *size))
    host = [ops.to_host(plane) for plane in small]  # sync: PyMatting works in host memory
    with _one_at_a_time:
        solved = ops.to_device(_solve(pymatting, method, *host))
    if size != (frame.width, frame.height):
        solved = ops.local_linear(fit_guided(guide, solved, KERNEL, EPSILON, ops), pixels)
    whole = ops.xp.zeros_like(alpha)
    whole[frame.slices] = solved
    return whole  # type: ignore[no-any-return]


def _solve(pymatting: Any, method: MattingMethod, pixels: Pixels, known: Matte, alpha: Matte) -> Matte:
    """Solve in host memory; return `alpha` if at this size nothing is unknown, or one side has no known pixel."""
    height, width = known.shape
    beyond = [(0, max(0, MIN_SIDE - side)) for side in known.shape]
    known, start = (np.pad(plane, beyond, mode="edge") for plane in (known, alpha))
    colours = np.pad(pixels, [*beyond, (0, 0)], mode="edge") / 255
    unknown, subject = (known == UNKNOWN).ravel(), (known == SUBJECT).ravel()
    if not unknown.any() or not subject.any() or not (known == BACKGROUND).any():
        return alpha
    system = _build_system(pymatting, METHODS[method].laplacian, colours, unknown, subject)
    solution = _conjugate_gradients(system, start.ravel()[unknown] / 255, METHODS[method].max_steps)
    solved = known.copy()
    solved.ravel()[unknown] = np.rint(255 * solution.clip(0, 1))
    return solved[:height, :width]


def _build_system(pymatting: Any, name: str, colours: Any, unknown: Any, subject: Any) -> System:
    """Minimise alphaᵀ · Laplacian · alpha with alpha fixed at known pixels (L. Grady et al., VIIP 2005)."""
    laplacian = getattr(pymatting, name)
    if name == "lkm_laplacian":  # too many entries for a matrix: PyMatting gives its product with a vector
        product, diagonal = laplacian(colours)

        def restricted(x: Vector) -> Vector:
            everywhere = np.zeros(unknown.size)
            everywhere[unknown] = x
            return product(everywhere)[unknown]  # type: ignore[no-any-return]

        return System(restricted, diagonal[unknown], -product(subject.astype(np.float64))[unknown])
    matrix = laplacian(colours, is_known=~unknown) if name == "cf_laplacian" else laplacian(colours)
    rows = matrix.tocsr()[unknown]
    square = rows[:, unknown]
    return System(square.dot, square.diagonal(), -rows.dot(subject.astype(np.float64)))


def _conjugate_gradients(system: System, start: Vector, max_steps: int = 2000) -> Vector:
    """Solve with Jacobi's preconditioner (Hestenes and Stiefel 1952); after `max_steps` the result is good enough.

    PyMatting's own solver raises an error after its last step and loses the solution, its preconditioner prints, and
    the products of both wait for BLAS's other threads, which einsum does not have.
    """
    x, inverse = start, 1 / system.diagonal
    residual = system.right - system.product(x)
    direction = inverse * residual
    energy = _dot(residual, direction)
    enough = TOLERANCE**2 * max(_dot(system.right, inverse * system.right), energy)
    for _ in range(max_steps):
        product = system.product(direction)
        curvature = _dot(direction, product)
        if energy <= enough or curvature <= 0:  # by rounding, or for `knn`, whose matrix is not quite symmetric
            break
        length = energy / curvature
        x, residual = x + length * direction, residual - length * product
        conditioned = inverse * residual
        energy, before = _dot(residual, conditioned), energy
        direction = conditioned + energy / before * direction
    return x


def _dot(a: Vector, b: Vector) -> float:
    return float(np.einsum("i,i->", a, b))


def _frame_around_band(trimap: Matte, ops: ArrayOps) -> Box:
    height, width = trimap.shape
    margin = max(2, round(CONTEXT * max(height, width)))
    bounds = ops.bounding_box((trimap == UNKNOWN).view(ops.xp.uint8), 0)
    left, top, right, bottom = bounds or (0, 0, width, height)
    return Box(max(0, left - margin), max(0, top - margin), min(width, right + margin), min(height, bottom + margin))


def _limited_size(width: int, height: int, unknown: int, method: Method) -> tuple[int, int]:
    share = min(1.0, method.max_pixels / (width * height), method.max_unknown / max(1, unknown))
    return scaled_size(width, height, sqrt(share))


def _import_pymatting() -> Any:
    with _one_at_a_time:
        try:
            import pymatting
            from numba import set_num_threads
        except ImportError as exc:
            raise InvalidOption(
                "matting: all methods but 'fast' need PyMatting: run `make setup` in the checkout"
            ) from exc
        except RuntimeError as exc:  # numba finds no place for the machine code that it keeps
            raise InvalidOption(f"matting: PyMatting cannot be used, set NUMBA_CACHE_DIR to a folder: {exc}") from exc
        set_num_threads(1)  # of this thread: photos run side by side instead
    return pymatting


if __name__ == "__main__":
    os.nice(10)  # photos come first
    _import_pymatting()

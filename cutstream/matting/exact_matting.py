"""The field's mattings: alpha as the solution of a linear system over the unknown pixels, with PyMatting's Laplacians.

They run in host memory, on one core, seconds for each photo. The first one of a process takes about two seconds more,
and a minute where PyMatting's machine code is not yet in numba's cache.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from threading import Lock
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cutstream.arrays.ops import ArrayOps
from cutstream.contract.options import MattingMethod
from cutstream.errors import InvalidOption
from cutstream.images import Image, Matte, Pixels
from cutstream.images.geometry import Box
from cutstream.matting.guided_filter import fit
from cutstream.matting.trimap import BACKGROUND, SUBJECT, UNKNOWN, split

Vector: TypeAlias = NDArray[np.float64]

CONTEXT = 0.03  # of the long side: what is sure around the band is looked at so far
LEAST_SIDE = 41  # two of the large kernel's windows; smaller pictures are extended by their borders
EPSILON, KERNEL = np.float32(1e-5), (5, 5)  # of the fit that brings alpha to the photo's size

MOST_STEPS, TOLERANCE = 2000, 1e-5

# One at a time: they take up to half a gigabyte, and not every threading layer of numba bears two callers.
_one_at_a_time = Lock()


class Method(NamedTuple):
    """`most_pixels` bounds memory and time: the Laplacian takes 0.4 kB a pixel, for `learning_based` 2.5, `knn` 3.6."""

    laplacian: str
    most_pixels: int


METHODS: dict[MattingMethod, Method] = {
    "closed_form": Method("cf_laplacian", 300_000),
    "random_walk": Method("rw_laplacian", 300_000),
    "large_kernel": Method("lkm_laplacian", 300_000),
    "learning_based": Method("lbdm_laplacian", 200_000),
    "knn": Method("knn_laplacian", 150_000),
}


class System(NamedTuple):
    """matrix · x = right, over the unknown pixels; `diagonal` is the matrix's."""

    product: Callable[[Vector], Vector]
    diagonal: Vector
    right: Vector


def exact(given: Matte, alpha: Matte, image: Image, method: MattingMethod, ops: ArrayOps) -> Matte:
    """u8 HW of the photo's size: alpha where the trimap `given` is unknown. The solver starts from `alpha`.

    Worked on are the band's surroundings, at no more pixels than the method's bound; the way back to the photo's size
    is the guided filter's. Raises `InvalidOption` where PyMatting is missing or cannot be used.
    """
    pymatting = _pymatting()
    frame = _around_band(given, ops)
    pixels, known, before = image.pixels[frame.slices], given[frame.slices], alpha[frame.slices]
    size = _bounded(frame.width, frame.height, METHODS[method].most_pixels)
    guide = ops.resize_area(pixels, *size)
    small = (guide, split(ops.resize_area(known, *size), ops), ops.resize_area(before, *size))
    host = [ops.to_host(plane) for plane in small]  # sync: PyMatting works in host memory
    with _one_at_a_time:
        solved = ops.to_device(_solved(pymatting, method, *host))
    if size != (frame.width, frame.height):
        solved = ops.local_linear(fit(guide, solved, KERNEL, EPSILON, ops), pixels)
    found = ops.xp.zeros_like(alpha)
    found[frame.slices] = solved
    return found  # type: ignore[no-any-return]


def _solved(pymatting: Any, method: MattingMethod, pixels: Pixels, known: Matte, alpha: Matte) -> Matte:
    """`alpha` where, at this size, nothing is unknown or nothing of one side is sure."""
    height, width = known.shape
    beyond = [(0, max(0, LEAST_SIDE - side)) for side in known.shape]
    known, start = (np.pad(plane, beyond, mode="edge") for plane in (known, alpha))
    colours = np.pad(pixels, [*beyond, (0, 0)], mode="edge") / 255
    unknown, subject = (known == UNKNOWN).ravel(), (known == SUBJECT).ravel()
    if not unknown.any() or not subject.any() or not (known == BACKGROUND).any():
        return alpha
    system = _system(pymatting, METHODS[method].laplacian, colours, unknown, subject)
    solution = _conjugate_gradients(system, start.ravel()[unknown] / 255)
    found = known.copy()
    found.ravel()[unknown] = np.rint(255 * solution.clip(0, 1))
    return found[:height, :width]


def _system(pymatting: Any, name: str, colours: Any, unknown: Any, subject: Any) -> System:
    """alphaᵀ · Laplacian · alpha least, where alpha is given outside the unknown (L. Grady et al., VIIP 2005)."""
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


def _conjugate_gradients(system: System, start: Vector) -> Vector:
    """With Jacobi's preconditioner (Hestenes and Stiefel 1952); what MOST_STEPS have come to is good enough.

    PyMatting's own solver gives up the solution with an error after its last step, its preconditioner prints, and
    the products of both wait for BLAS's other threads: einsum has none.
    """
    x, inverse = start, 1 / system.diagonal
    left = system.right - system.product(x)
    direction = inverse * left
    energy = _dot(left, direction)
    enough = TOLERANCE**2 * max(_dot(system.right, inverse * system.right), energy)
    for _ in range(MOST_STEPS):
        product = system.product(direction)
        curvature = _dot(direction, product)
        if energy <= enough or curvature <= 0:  # which is rounding, or `knn`, whose matrix is not quite symmetric
            break
        length = energy / curvature
        x, left = x + length * direction, left - length * product
        conditioned = inverse * left
        energy, before = _dot(left, conditioned), energy
        direction = conditioned + energy / before * direction
    return x


def _dot(one: Vector, other: Vector) -> float:
    return float(np.einsum("i,i->", one, other))


def _around_band(given: Matte, ops: ArrayOps) -> Box:
    height, width = given.shape
    margin = max(2, round(CONTEXT * max(height, width)))
    bounds = ops.bounding_box((given == UNKNOWN).view(ops.xp.uint8), 0)
    left, top, right, bottom = bounds or (0, 0, width, height)
    return Box(max(0, left - margin), max(0, top - margin), min(width, right + margin), min(height, bottom + margin))


def _bounded(width: int, height: int, most_pixels: int) -> tuple[int, int]:
    shrink = min(1.0, sqrt(most_pixels / (width * height)))
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def _pymatting() -> Any:
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

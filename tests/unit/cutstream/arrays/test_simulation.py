"""What the simulated device is strict about, and that CuPy has every name which it stands in for."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.support.host_kernels import NoCompiler, compiler
from tests.support.simulated_cupy import Array, Kernel, RawModule, SimulatedCupy

REVERSE = """
extern "C" __global__ void reverse(const unsigned char* values, unsigned char* out, int offset)
{
    __shared__ unsigned char block[64];
    block[threadIdx.x] = values[threadIdx.x];
    BARRIER
    const int at = threadIdx.x;
    out[at + offset] = block[blockDim.x - 1 - threadIdx.x];
}
"""
VALUES = np.arange(64, dtype=np.uint8)
ZERO = np.int32(0)


@pytest.fixture
def cupy() -> SimulatedCupy:
    try:
        compiler()
    except NoCompiler as exc:
        pytest.skip(str(exc))
    return SimulatedCupy()


def kernel(barrier: str = "__syncthreads();", source: str = REVERSE) -> Kernel:
    return RawModule(code=source.replace("BARRIER", barrier)).get_function("reverse")


def run(cupy: SimulatedCupy, kernel: Kernel, offset: Any = ZERO, values: Any = None) -> np.ndarray:
    out = cupy.empty((64,), np.uint8)
    kernel((1,), (64,), (cupy.asarray(VALUES) if values is None else values, out, offset))
    return cupy.asnumpy(out)


def test_threads_meet_at_barriers(cupy: SimulatedCupy) -> None:
    np.testing.assert_array_equal(run(cupy, kernel()), VALUES[::-1])


def test_a_missing_barrier_shows(cupy: SimulatedCupy) -> None:
    assert (run(cupy, kernel("")) != VALUES[::-1]).any()


def test_a_barrier_for_some_threads_only_is_an_error(cupy: SimulatedCupy) -> None:
    with pytest.raises(RuntimeError, match="only some threads"):
        run(cupy, kernel("if (threadIdx.x < 32) __syncthreads();"))
    np.testing.assert_array_equal(run(cupy, kernel()), VALUES[::-1])


@pytest.mark.parametrize("offset", [0, 0.0, np.int64(0)])
def test_numbers_have_the_parameters_size(cupy: SimulatedCupy, offset: Any) -> None:
    with pytest.raises(TypeError, match="takes"):
        run(cupy, kernel(), offset)


@pytest.mark.parametrize("values", [VALUES.astype(np.int32), np.repeat(VALUES, 2)[::2]], ids=["type", "strides"])
def test_arrays_have_the_parameters_type_and_no_strides(cupy: SimulatedCupy, values: np.ndarray) -> None:
    with pytest.raises(TypeError):
        run(cupy, kernel(), values=Array(values, values))


@pytest.mark.parametrize("offset", [-1, 1])
def test_writing_beside_an_array_shows(cupy: SimulatedCupy, offset: int) -> None:
    with pytest.raises(AssertionError, match="beside its array"):
        run(cupy, kernel(), np.int32(offset))


def test_reading_beside_an_array_shows(cupy: SimulatedCupy) -> None:
    with pytest.raises(AssertionError, match="read beside its array"):
        run(cupy, kernel(source=REVERSE.replace("= values[threadIdx.x]", "= values[threadIdx.x + 1]")))


def test_a_result_that_depends_on_the_order_of_threads_shows(cupy: SimulatedCupy) -> None:
    last_wins = kernel(source=REVERSE.replace("out[at + offset]", "out[at / 2]"))
    assert (run(cupy, last_wins) != run(cupy, last_wins)).any()


def test_writing_what_is_const_shows(cupy: SimulatedCupy) -> None:
    source = REVERSE.replace("out[at + offset]", "((unsigned char*)values)[at]")
    with pytest.raises(AssertionError, match="takes as const"):
        run(cupy, kernel(source=source))


def test_a_compile_error_has_its_line(cupy: SimulatedCupy) -> None:
    with pytest.raises(SyntaxError, match=r"kernel\.cu:6.*"):
        kernel("nonsense;")


def test_host_arrays_are_no_operands(cupy: SimulatedCupy) -> None:
    array = cupy.asarray(VALUES)
    for mixed in (lambda: array + VALUES, lambda: VALUES * array, lambda: np.asarray(array), lambda: np.sum(array)):
        with pytest.raises(TypeError):
            mixed()
    assert cupy.asnumpy(np.uint8(2) * array + 1)[3] == 7


def names() -> Iterator[tuple[str, str]]:
    """Where CuPy has it, and its name."""
    simulated = SimulatedCupy()
    for path, owner in {
        "": vars(SimulatedCupy),
        "cuda": vars(simulated.cuda),
        "ndarray": vars(Array),
        **{
            f"cuda.{module}": vars(its)
            for module, its in vars(simulated.cuda).items()
            if isinstance(its, SimpleNamespace)
        },
    }.items():
        own = {"_view", "_memory", "__weakref__", "__module__", "__dict__"}
        yield from ((path, name) for name in owner if name not in own)


@pytest.mark.parametrize(("path", "name"), list(names()))
def test_cupy_has_what_is_simulated(path: str, name: str) -> None:
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    assert hasattr(attrgetter(path)(cupy) if path else cupy, name)

"""The array back ends that one test suite runs on: `cpu`, `simulated` (GPU code on a simulated device) and `gpu`."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from cutstream.arrays.cpu import CpuOps
from cutstream.arrays.gpu import GpuOps, NoDevice, compile_kernels, open_gpu
from cutstream.arrays.ops import ArrayOps
from tests.support.host_kernels import NoCompiler, compiler
from tests.support.simulated_cupy import SimulatedCupy

DEVICES = ["simulated", pytest.param("gpu", marks=pytest.mark.gpu)]
SUBJECTS = ["cpu", *DEVICES]


def back_end(name: str) -> ArrayOps:
    """Return the back end of that name. Skips the test if it is not available."""
    return {"cpu": CpuOps, "simulated": lambda: simulated()[0], "gpu": _real}[name]()


def simulated() -> tuple[GpuOps, SimulatedCupy]:
    """Return GPU code on a new simulated device, whose counters are empty."""
    cupy = SimulatedCupy()
    return GpuOps(cupy, _kernels()), cupy


@cache
def _kernels() -> dict[str, Any]:
    try:
        compiler()
    except NoCompiler as exc:
        pytest.skip(str(exc))
    return compile_kernels(SimulatedCupy())


@cache
def _real() -> GpuOps:
    try:
        return open_gpu()
    except NoDevice as exc:
        pytest.skip(f"gpu: {exc}")


class FromHost:
    """The primitives of `ops` for arrays in host memory, which are sent before each call and fetched after it."""

    def __init__(self, ops: ArrayOps) -> None:
        self.ops = ops

    def __getattr__(self, name: str) -> Any:
        primitive = getattr(self.ops, name)

        def call(*arguments: Any) -> Any:
            host_argument = 1 if name in ("erode", "dilate", "lookup", "warp") else None  # footprints, tables, matrices
            sent = [a if i == host_argument else self._sent(a) for i, a in enumerate(arguments)]
            result = self.fetched(primitive(*sent))
            for host, device in zip(arguments, sent, strict=True):
                if isinstance(host, np.ndarray):
                    np.testing.assert_array_equal(self.fetched(device), host, "an argument was modified")
            return result

        return call

    def _sent(self, argument: Any) -> Any:
        return self.ops.to_device(argument) if isinstance(argument, np.ndarray) else argument

    def fetched(self, result: Any) -> Any:
        if isinstance(result, tuple):
            return tuple(map(self.fetched, result))
        return self.ops.to_host(result) if isinstance(result, self.ops.xp.ndarray) else result

"""The back ends as the subjects of one suite: `cpu`, `simulated` (the GPU's code on a simulated device) and `gpu`."""

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
    """Skips the test where it cannot be had."""
    return {"cpu": CpuOps, "simulated": lambda: simulated()[0], "gpu": _real}[name]()


def simulated() -> tuple[GpuOps, SimulatedCupy]:
    """With a device of its own, that has counted nothing yet."""
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
    """The primitives of `ops` for arrays in host memory: sent before each call and fetched after it."""

    def __init__(self, ops: ArrayOps) -> None:
        self.ops = ops

    def __getattr__(self, name: str) -> Any:
        primitive = getattr(self.ops, name)

        def call(*arguments: Any) -> Any:
            here = 1 if name in ("erode", "dilate", "lookup", "warp") else None  # footprints, tables, matrices
            sent = [a if place == here else self._sent(a) for place, a in enumerate(arguments)]
            result = self.fetched(primitive(*sent))
            for given, device in zip(arguments, sent, strict=True):
                if isinstance(given, np.ndarray):
                    np.testing.assert_array_equal(self.fetched(device), given, "an argument was modified")
            return result

        return call

    def _sent(self, argument: Any) -> Any:
        return self.ops.to_device(argument) if isinstance(argument, np.ndarray) else argument

    def fetched(self, result: Any) -> Any:
        if isinstance(result, tuple):
            return tuple(map(self.fetched, result))
        return self.ops.to_host(result) if isinstance(result, self.ops.xp.ndarray) else result

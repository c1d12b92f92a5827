from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cutstream.arrays import device
from cutstream.arrays.cpu import CpuOps
from cutstream.arrays.device import open_device
from cutstream.arrays.gpu import GpuOps, gaussian_weights, open_gpu
from cutstream.errors import ConfigurationError, DeviceLost, DeviceOutOfMemory
from tests.support import simulated_cupy
from tests.support.back_ends import simulated
from tests.support.simulated_cupy import SimulatedCupy

PIXELS, MATTE = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
FOOTPRINT = np.ones((3, 3), np.uint8)
COEFFICIENTS = np.zeros((2, 2, 4), np.float32)


def bare() -> GpuOps:
    """Without kernels: what is refused is refused before any would run."""
    return GpuOps(SimulatedCupy(), {})


@pytest.mark.parametrize(
    ("primitive", "arguments"),
    [
        ("to_host", (MATTE,)),
        ("resize_area", (PIXELS, 2, 2)),
        ("resize_linear", (PIXELS, 4, 4)),
        ("box", (MATTE.astype(np.float32), 3, 3)),
        ("gaussian", (MATTE, 3)),
        ("erode", (MATTE, FOOTPRINT, 1)),
        ("dilate", (MATTE, FOOTPRINT, 0)),
        ("fit_colours", (PIXELS, MATTE, 3, 3, np.float32(1))),
        ("local_linear", (COEFFICIENTS, PIXELS)),
        ("histogram", (MATTE,)),
        ("bounding_box", (MATTE, 25)),
        ("shrink", (PIXELS, MATTE, 2, 2)),
        ("rgba", (PIXELS, MATTE)),
        ("blend", (PIXELS, MATTE, (1, 2, 3))),
    ],
)
def test_an_array_of_the_wrong_side_is_refused_at_once(primitive: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match=r"ndarray of host memory.*ops\.to_device"):
        getattr(bare(), primitive)(*arguments)


def test_one_may_wait_for_the_device() -> None:
    bare().synchronize()


def test_the_memory_of_the_device_is_what_is_used_of_what_there_is() -> None:
    assert bare().memory() == (5 << 30, 8 << 30)
    assert CpuOps().memory() is None


def test_nothing_is_sent_twice() -> None:
    ops = bare()
    with pytest.raises(TypeError, match="in device memory already"):
        ops.to_device(ops.to_device(MATTE))


def test_the_way_to_the_device_and_back_keeps_values() -> None:
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    ops = bare()
    np.testing.assert_array_equal(ops.to_host(ops.to_device(values)[:, ::2]), values[:, ::2])


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (simulated_cupy.OutOfMemoryError("Out of memory allocating 9 bytes"), DeviceOutOfMemory),
        (simulated_cupy.CUDARuntimeError("cudaErrorMemoryAllocation: out of memory"), DeviceOutOfMemory),
        (simulated_cupy.CUDADriverError("CUDA_ERROR_OUT_OF_MEMORY: out of memory"), DeviceOutOfMemory),
        (simulated_cupy.CUDARuntimeError("cudaErrorECCUncorrectable: uncorrectable ECC error"), DeviceLost),
        (simulated_cupy.CUDADriverError("CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access"), DeviceLost),
    ],
)
def test_the_devices_errors_become_ours(error: Exception, named: type[Exception]) -> None:
    with pytest.raises(named) as caught, bare().errors():
        raise error
    assert caught.value.__cause__ is error


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), bare().errors():
        raise ZeroDivisionError


@pytest.mark.parametrize("kernel", [1, 3, 9, 11, 99])
def test_gaussian_weights_are_symmetric_256ths(kernel: int) -> None:
    weights = gaussian_weights(kernel)
    assert weights.sum() == 256
    assert (weights == weights[::-1]).all()
    assert len(weights) == kernel


def test_windows_that_are_rectangles_cost_no_footprint() -> None:
    ops, cupy = simulated()
    ops.dilate(ops.to_device(MATTE), np.ones((31, 5), np.uint8), 3)
    assert cupy.uploads == [MATTE.nbytes]


def without_device() -> int:
    raise simulated_cupy.CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")


def test_without_cupy_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(
        ConfigurationError, match=r"__DEVICE=cuda: CuPy is not installed: run `make setup` in the checkout"
    ):
        open_device("cuda")


def test_without_a_device_the_message_says_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = SimulatedCupy()
    cupy.cuda.runtime.getDeviceCount = without_device
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    with pytest.raises(ConfigurationError, match=r"no CUDA-capable device.*nvidia-smi.*set it to cpu \(docs/gpu\.md\)"):
        open_device("cuda")


def test_auto_takes_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    there, _ = simulated()
    monkeypatch.setattr(device, "open_gpu", lambda: there)
    assert open_device("auto") is there
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(device, "open_gpu", open_gpu)
    assert open_device("auto").device == "cpu"


def test_cpu_asks_for_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "open_gpu", lambda: pytest.fail("asked"))
    assert isinstance(open_device("cpu"), CpuOps)


def test_a_device_is_opened_with_its_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    simulated()  # skips without a compiler
    monkeypatch.setitem(sys.modules, "cupy", SimulatedCupy())
    ops = open_gpu()
    assert ops.device == "cuda"
    assert ops.bounding_box(ops.to_device(MATTE + np.uint8(9)), 8) == (0, 0, 4, 4)


def test_a_broken_kernel_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise RuntimeError("kernel.cu(3): error")

    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimulatedCupy().cuda, RawModule=refuse))
    with pytest.raises(RuntimeError, match=r"kernel\.cu\(3\)"):
        open_device("auto")

"""Simulate the part of CuPy that `cutstream/arrays/gpu.py` and matting use, in host memory.

It shows whether GPU code is correct, not how fast it is. It is as strict as a device: it accepts no NumPy arrays as
arguments, and only `asnumpy` turns an array into a NumPy array. A kernel's arguments must have the types of its
parameters. A kernel may not write to arrays that it takes as `const`, nor read or write outside its arrays. New memory
contains noise. A function that is missing here raises AttributeError: add it as CuPy has it.
"""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.support.host_kernels import HostKernel, build

GUARD = 256  # bytes before and after each allocation, which no kernel may touch
PATTERN = 0xA5


class Array:
    """Stands for `cupy.ndarray`. `view` is a view of `memory`, the whole allocation with its guards."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, view: np.ndarray, memory: np.ndarray) -> None:
        self._view = view
        self._memory = memory

    shape = property(lambda self: self._view.shape)
    dtype = property(lambda self: self._view.dtype)
    ndim = property(lambda self: self._view.ndim)
    size = property(lambda self: self._view.size)
    nbytes = property(lambda self: self._view.nbytes)
    flags = property(lambda self: SimpleNamespace(c_contiguous=self._view.flags.c_contiguous))

    def __len__(self) -> int:
        return len(self._view)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed: use `ops.to_host`")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__":
            raise TypeError(f"cupy has no {ufunc.__name__}.{method}")
        out = tuple(_host(array) for array in options.pop("out", ()))
        result = ufunc(*map(_host, inputs), **options, **({"out": out} if out else {}))
        return inputs[0] if out else _new(result)

    def __getitem__(self, key: Any) -> Array:
        part = self._view[_key(key)]
        return Array(part, self._memory) if np.may_share_memory(part, self._view) else _new(part)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._view[_key(key)] = _host(value)

    def view(self, dtype: Any) -> Array:
        return Array(self._view.view(dtype), self._memory)

    def astype(self, dtype: Any) -> Array:
        return _new(self._view.astype(dtype))

    def sum(self, axis: int | tuple[int, ...] | None = None) -> Array:
        return _new(self._view.sum(axis))

    def reshape(self, *shape: int) -> Array:
        part = self._view.reshape(*shape)
        return Array(part, self._memory) if np.may_share_memory(part, self._view) else _new(part)


def _operator(name: str) -> Callable[..., Any]:
    function = getattr(operator, name)

    def forward(self: Array, other: Any) -> Any:
        return _new(function(self._view, _host(other)))

    return forward


def _reflected(name: str) -> Callable[..., Any]:
    function = getattr(operator, name)

    def backward(self: Array, other: Any) -> Any:
        return _new(function(_host(other), self._view))

    return backward


def _in_place(name: str) -> Callable[..., Any]:
    function = getattr(operator, name)

    def assign(self: Array, other: Any) -> Any:
        self._view = function(self._view, _host(other))
        return self

    return assign


for _name in ("add", "sub", "mul", "truediv", "floordiv"):
    setattr(Array, f"__{_name}__", _operator(_name))
    setattr(Array, f"__r{_name}__", _reflected(_name))
    setattr(Array, f"__i{_name}__", _in_place(f"i{_name}"))
for _name in ("lt", "le", "gt", "ge", "eq", "ne", "and_", "or_"):
    setattr(Array, f"__{_name.rstrip('_')}__", _operator(_name))


def _key(key: Any) -> Any:
    return tuple(map(_host, key)) if isinstance(key, tuple) else _host(key)


def _host(value: Any) -> Any:
    if isinstance(value, Array):
        return value._view
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>: call `ops.to_device` first")
    return value


def _new(values: Any) -> Array:
    values = np.asarray(values)
    array = _allocated(values.shape, values.dtype)
    array._view[...] = values
    return array


def _allocated(shape: Any, dtype: Any) -> Array:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.full(size + 2 * GUARD + 16, PATTERN, np.uint8)
    start = GUARD + -(memory.ctypes.data + GUARD) % 16  # aligned to 16 bytes, since a float4 is read at once
    return Array(memory[start : start + size].view(dtype).reshape(shape), memory)


class Kernel:
    """Stands for `cupy.RawKernel`."""

    def __init__(self, kernel: HostKernel) -> None:
        self._kernel = kernel
        self._backwards = False  # true for every second launch: no result may depend on the order of threads

    def __call__(self, grid: Sequence[int], block: Sequence[int], arguments: Sequence[Any]) -> None:
        names = [_type(argument, asked) for argument, asked in zip(arguments, self._kernel.parameters, strict=True)]
        if names != self._kernel.parameters:
            raise TypeError(f"{self._kernel.name}: got {names}, takes {self._kernel.parameters}")
        shape = [*grid, *[1] * (3 - len(grid)), *block, *[1] * (3 - len(block))]
        if not all(shape) or max(shape[1:3]) > 65535 or np.prod(shape[3:]) > 1024:
            raise RuntimeError(f"CUDA_ERROR_INVALID_VALUE: grid and block {shape}")
        holders = [_holder(argument) for argument in arguments]
        self._backwards = not self._backwards
        _watched(
            [(a, name[0] == "*") for a, name in zip(arguments, names, strict=True) if isinstance(a, Array)],
            lambda: self._kernel.launch(shape, [ctypes.addressof(each) for each in holders], self._backwards),
        )


def _type(argument: Any, asked: str) -> str:
    """Return the type as CuPy passes it. Python numbers have 64 bits; the kernel says whether it writes an array."""
    if isinstance(argument, Array):
        if not argument.flags.c_contiguous:
            raise TypeError("a kernel that takes no strides got an array that is not contiguous")
        return asked[0] + argument.dtype.str[1:]
    return str(np.asarray(argument).dtype.str[1:])


def _holder(argument: Any) -> Any:
    if isinstance(argument, Array):
        return ctypes.c_void_p(argument._view.ctypes.data)
    return ctypes.create_string_buffer(np.asarray(argument).tobytes())


def _watched(arrays: list[tuple[Array, bool]], launch: Callable[[], None]) -> None:
    """Launch a kernel twice, the second time with other bytes around its arrays, and compare the results.

    A kernel that reads outside its arrays gets a different result. Writing there, or to `const` arrays, also fails.
    """
    beside = {id(array._memory): (array._memory, np.ones(array._memory.size, bool)) for array, _ in arrays}
    for array, _ in arrays:
        start = array._view.ctypes.data - array._memory.ctypes.data
        beside[id(array._memory)][1][start : start + array.nbytes] = False
    before = {name: memory.copy() for name, (memory, _) in beside.items()}
    launch()
    for name, (memory, outside) in beside.items():
        assert (memory == before[name])[outside].all(), "a kernel has written beside its array"
    for array, written in arrays:
        start = array._view.ctypes.data - array._memory.ctypes.data
        own = slice(start, start + array.nbytes)
        same = written or (array._memory[own] == before[id(array._memory)][own]).all()
        assert same, "a kernel has written to an array that it takes as const"
    after = {name: memory.copy() for name, (memory, _) in beside.items()}
    for name, (memory, outside) in beside.items():
        memory[:] = np.where(outside, ~before[name], before[name])
    launch()
    for name, (memory, outside) in beside.items():
        same = (memory == after[name])[~outside].all()
        memory[:] = after[name]
        assert same, "a kernel has read beside its array"


class RawModule:
    def __init__(self, *, code: str, options: tuple[str, ...] = ()) -> None:
        self._library = build(code)

    def get_function(self, name: str) -> Kernel:
        return Kernel(HostKernel(self._library, name))


class CUDARuntimeError(RuntimeError):
    pass


class CUDADriverError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


class SimulatedCupy:
    """Stands for the module `cupy`. `uploads` and `downloads` list the bytes of each copy to and from the device."""

    ndarray = Array
    RawModule = RawModule
    uint8, uint16, int16, int32, float32 = np.uint8, np.uint16, np.int16, np.int32, np.float32

    def __init__(self) -> None:
        self.uploads: list[int] = []
        self.downloads: list[int] = []
        self.cuda = SimpleNamespace(
            get_current_stream=lambda: SimpleNamespace(synchronize=lambda: None),
            runtime=SimpleNamespace(
                getDeviceCount=lambda: 1, memGetInfo=lambda: (3 << 30, 8 << 30), CUDARuntimeError=CUDARuntimeError
            ),
            driver=SimpleNamespace(CUDADriverError=CUDADriverError),
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        )

    def asarray(self, values: Any) -> Array:
        if isinstance(values, Array):
            return values
        self.uploads.append(np.asarray(values).nbytes)
        return _new(values)

    def asnumpy(self, array: Any) -> np.ndarray:
        if isinstance(array, Array):
            self.downloads.append(array.nbytes)
        return np.array(array._view if isinstance(array, Array) else array, order="C")

    def ascontiguousarray(self, array: Array) -> Array:
        return array if array.flags.c_contiguous else _new(_host(array))

    def empty(self, shape: Any, dtype: Any) -> Array:
        return _allocated(shape, dtype)

    def zeros(self, shape: Any, dtype: Any) -> Array:
        return _new(np.zeros(shape, dtype))

    def zeros_like(self, array: Array) -> Array:
        return _new(np.zeros_like(_host(array)))

    def argmax(self, array: Array) -> Array:
        return _new(np.argmax(_host(array)))

    def flatnonzero(self, array: Array) -> Array:
        return _new(np.flatnonzero(_host(array)))

    def arange(self, *limits: int, dtype: Any = None) -> Array:
        return _new(np.arange(*limits, dtype=dtype))

    def max(self, array: Array, axis: int | None = None) -> Array:
        return _new(np.max(_host(array), axis))

    def clip(self, array: Array, low: Any, high: Any) -> Array:
        return _new(np.clip(_host(array), _host(low), _host(high)))

    def exp(self, array: Array) -> Array:
        return _new(np.exp(_host(array)))

    def rint(self, array: Array) -> Array:
        return _new(np.rint(_host(array)))

    def sqrt(self, array: Array) -> Array:
        return _new(np.sqrt(_host(array)))

    def abs(self, array: Array) -> Array:
        return _new(np.abs(_host(array)))

    def maximum(self, first: Any, second: Any) -> Array:
        return _new(np.maximum(_host(first), _host(second)))

    def minimum(self, first: Any, second: Any) -> Array:
        return _new(np.minimum(_host(first), _host(second)))

    def stack(self, arrays: Sequence[Array], axis: int = 0) -> Array:
        return _new(np.stack([_host(array) for array in arrays], axis))

    def where(self, condition: Array, first: Any, second: Any) -> Array:
        return _new(np.where(*map(_host, (condition, first, second))))

    def multiply(self, first: Any, second: Any, dtype: Any = None) -> Array:
        return _new(np.multiply(_host(first), _host(second), dtype=dtype))

"""Choose the back end of this process, once, at start."""

from __future__ import annotations

from typing import Literal, TypeAlias

from cutstream.arrays.cpu import CpuOps
from cutstream.arrays.gpu import NoDevice, find_gpu, open_gpu
from cutstream.arrays.ops import ArrayOps
from cutstream.errors import ConfigurationError

Device: TypeAlias = Literal["auto", "cpu", "cuda"]


def require_device(device: Device) -> None:
    """Raise ConfigurationError if `device` is `cuda` and there is none. Nothing is opened."""
    if device == "cuda":
        try:
            find_gpu()
        except NoDevice as exc:
            raise _no_device(exc) from exc


def open_device(device: Device) -> ArrayOps:
    """Open the back end for the setting `device`. Raises ConfigurationError if it is `cuda` and there is none."""
    if device == "cpu":
        return CpuOps()
    try:
        return open_gpu()
    except NoDevice as exc:
        if device == "cuda":
            raise _no_device(exc) from exc
        return CpuOps()


def _no_device(problem: NoDevice) -> ConfigurationError:
    return ConfigurationError(f"CUTSTREAM_WORKER__DEVICE=cuda: {problem}; or set it to cpu (docs/gpu.md)")

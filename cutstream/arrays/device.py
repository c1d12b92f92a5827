"""Choose the back end of this process, once, at start."""

from __future__ import annotations

from typing import Literal

from cutstream.arrays.cpu import CpuOps
from cutstream.arrays.gpu import NoDevice, open_gpu
from cutstream.arrays.ops import ArrayOps
from cutstream.errors import ConfigurationError


def open_device(device: Literal["auto", "cpu", "cuda"]) -> ArrayOps:
    """Open the back end for the setting `device`. Raises ConfigurationError if it is `cuda` and there is none."""
    if device == "cpu":
        return CpuOps()
    try:
        return open_gpu()
    except NoDevice as exc:
        if device == "cuda":
            raise ConfigurationError(f"CUTSTREAM_WORKER__DEVICE=cuda: {exc}; or set it to cpu (docs/gpu.md)") from exc
        return CpuOps()

"""Which back end this process works with; asked once, at start."""

from __future__ import annotations

from typing import Literal

from cutstream.arrays.cpu import CpuOps
from cutstream.arrays.gpu import NoDevice, open_gpu
from cutstream.arrays.ops import ArrayOps
from cutstream.errors import ConfigurationError


def open_device(wanted: Literal["auto", "cpu", "cuda"]) -> ArrayOps:
    """Raises ConfigurationError where `cuda` is wanted and not to be had."""
    if wanted == "cpu":
        return CpuOps()
    try:
        return open_gpu()
    except NoDevice as exc:
        if wanted == "cuda":
            raise ConfigurationError(f"CUTSTREAM_WORKER__DEVICE=cuda: {exc}; or set it to cpu (docs/gpu.md)") from exc
        return CpuOps()

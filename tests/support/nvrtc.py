"""Compile CUDA sources with NVRTC from the package nvidia-cuda-nvrtc-cu12, which needs no device and no driver."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path


class NoNvrtc(Exception):
    """The package nvidia-cuda-nvrtc-cu12 is not installed."""


class CompileError(Exception):
    """A source does not compile; the message is the compiler's log, with file and line of each error."""


def cubin(source: str, file: str, architecture: str, options: Sequence[str]) -> bytes:
    """Return machine code for an architecture such as `sm_80`. Raises NoNvrtc or CompileError."""
    nvrtc = _library()
    program = ctypes.c_void_p()
    _check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), file.encode(), 0, None, None))
    try:
        arguments = [f"--gpu-architecture={architecture}".encode(), *(option.encode() for option in options)]
        failed = nvrtc.nvrtcCompileProgram(program, len(arguments), (ctypes.c_char_p * len(arguments))(*arguments))
        if failed:
            raise CompileError(_read(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program).decode())
        return _read(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, program)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _library() -> ctypes.CDLL:
    spec = find_spec("nvidia")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).glob("cuda_nvrtc/lib/libnvrtc.so.*")):
            return ctypes.CDLL(str(path))
    raise NoNvrtc("the package nvidia-cuda-nvrtc-cu12 is not installed")


def _read(size_of: ctypes._NamedFuncPointer, read: ctypes._NamedFuncPointer, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    _check(size_of(program, ctypes.byref(size)))
    buffer = ctypes.create_string_buffer(size.value)
    _check(read(program, buffer))
    return buffer.raw


def _check(status: int) -> None:
    if status:
        raise RuntimeError(f"NVRTC error {status}")

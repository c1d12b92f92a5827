"""Compile CUDA sources with the host's C++ compiler against `cuda_emulator.hpp`, and call them through ctypes."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import gettempdir

EMULATOR = Path(__file__).with_name("cuda_emulator.hpp")
ENTRY = re.compile(r'extern "C" __global__ void (\w+)\(')
FLAGS = ("-std=c++17", "-O2", "-ffp-contract=off", "-fPIC", "-shared", "-w")

_one_at_a_time = threading.Lock()  # the emulator's block and thread are global variables


class NoCompiler(Exception):
    """This machine has no C++ compiler."""


def compiler() -> list[str]:
    for name in ("c++", "g++", "clang++"):
        if found := shutil.which(name):
            return [found]
    if find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "c++"]
    raise NoCompiler("no C++ compiler (c++, g++, clang++ or the package ziglang)")


class HostKernel:
    """A compiled kernel.

    `parameters` are its types as `cuda_emulator.hpp` writes them: `&u1` reads bytes, `*u1` writes them.
    """

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        self.name = name
        self._launch = getattr(library, f"launch_{name}")
        signature = getattr(library, f"signature_{name}")
        signature.restype = ctypes.c_char_p
        self.parameters: list[str] = signature().decode().split()

    def launch(self, shape: Sequence[int], addresses: Sequence[int], backwards: bool) -> None:
        """Run the kernel. `addresses` are those of the arguments, as CUDA takes them.

        `backwards` runs the last block's last thread first.
        """
        with _one_at_a_time:
            diverged = self._launch(
                (ctypes.c_uint * 7)(*shape, backwards), (ctypes.c_void_p * len(addresses))(*addresses)
            )
        if diverged:
            raise RuntimeError(f"{self.name}: only some threads of a block reach a __syncthreads")


def build(source: str) -> ctypes.CDLL:
    """Compile the source, or load an earlier result for the same input from the temporary files.

    Raises SyntaxError with the compiler's log.
    """
    entries = "".join(
        f'extern "C" int launch_{name}(const unsigned* shape, void** arguments)'
        f"{{ return emulator::launch({name}, shape, arguments); }}\n"
        f'extern "C" const char* signature_{name}() {{ return emulator::signature({name}); }}\n'
        for name in ENTRY.findall(source)
    )
    text = f'{EMULATOR.read_text(encoding="utf-8")}\n#line 1 "kernel.cu"\n{source}\n{entries}'
    command = [*compiler(), *FLAGS]
    digest = hashlib.sha256("\0".join([*command, text]).encode()).hexdigest()
    folder = Path(gettempdir()) / f"cutstream-kernels-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    library = folder / f"{digest}.so"
    if not library.exists():
        unfinished = library.with_suffix(f".{os.getpid()}")
        call = [*command, "-x", "c++", "-", "-o", str(unfinished)]
        done = subprocess.run(call, input=text, text=True, capture_output=True)
        if done.returncode:
            raise SyntaxError(done.stderr)
        unfinished.rename(library)
    return ctypes.CDLL(str(library))

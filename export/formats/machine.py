"""The GPU and the TensorRT release of this machine. A plan runs only on an equal machine."""

from __future__ import annotations

import subprocess
from importlib import import_module
from types import ModuleType

import msgspec

from cutstream.errors import ConfigurationError
from cutstream.settings import own_environment

QUERY = ["nvidia-smi", "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader"]
TIMEOUT_S = 30


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    gpu: str
    compute_capability: str
    driver: str
    tensorrt: str


def detect_machine() -> Machine:
    """Return this machine's first GPU and TensorRT. Raise ConfigurationError if either is missing."""
    version = str(import_tensorrt().__version__)
    try:
        process = subprocess.run(
            QUERY, env=own_environment(), capture_output=True, text=True, timeout=TIMEOUT_S, check=True
        )
        gpu, compute_capability, driver = (part.strip() for part in process.stdout.splitlines()[0].split(","))
    except (OSError, subprocess.SubprocessError, IndexError, ValueError) as exc:
        raise ConfigurationError(f"TensorRT needs an NVIDIA GPU, and `nvidia-smi` found none: {exc}") from exc
    return Machine(gpu=gpu, compute_capability=compute_capability, driver=driver, tensorrt=version)


def import_tensorrt_rtx() -> ModuleType:
    try:
        return import_module("tensorrt_rtx")
    except ImportError as exc:
        raise ConfigurationError(
            f"TensorRT for RTX is not installed ({exc}): run `make setup` in the checkout"
        ) from exc


def import_tensorrt() -> ModuleType:
    try:
        return import_module("tensorrt")
    except ImportError as exc:
        raise ConfigurationError(
            f"TensorRT is not installed ({exc}): run `.venv/bin/uv pip install tensorrt==VERSION` in the checkout, "
            "with the version in your Triton image"
        ) from exc

"""Choose OpenVINO's precision for a network: bf16 if the CPU has it and the mattes stay the same, else fp32."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Literal, TypeAlias

import ml_dtypes
import msgspec
import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import opset13
from PIL import Image

from deploy.triton.backends.upsampling import replace_doubling

# On 145 photos with true masks, U²-Net-P loses 0.3 points of IoU at an agreement of 0.974, and 1.1 points at 0.952.
MIN_AGREEMENT = 0.965
PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")


Precision: TypeAlias = Literal["fp32", "bf16"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The chosen precision and the reason. A stored verdict is valid while its `question` is the same."""

    question: tuple[str, ...]
    precision: Precision
    reason: str


def choose(file: Path, setting: str, report: Path) -> Verdict:
    """Choose the precision for a network. `setting` is fp32, bf16 or auto.

    The verdict is stored in `report`, for the next start and for people.
    """
    question = (
        setting,
        hashlib.sha256(file.read_bytes()).hexdigest(),
        openvino.Core().get_property("CPU", "FULL_DEVICE_NAME"),
        f"OpenVINO {openvino.get_version()}",
    )
    stored = _stored_verdict(report)
    if stored is not None and stored.question == question:
        return stored
    precision, reason = _decide(file, setting)
    verdict = Verdict(question=question, precision=precision, reason=reason)
    _store(verdict, report)
    return verdict


def compile_network(file: Path, precision: Precision, threads: int) -> openvino.CompiledModel:
    """Compile the network for one image and one thread per call, with as many parallel calls as threads.

    A batch is spread over the calls. Compared with one call on all cores, this takes 5 % less time on idle cores, and
    about half the time on busy ones, where threads that wait for each other after every layer lose most.
    """
    core = openvino.Core()
    model = core.read_model(file)
    model.reshape({parameter: [1, *list(parameter.partial_shape)[1:]] for parameter in model.inputs})
    replace_doubling(model)
    if precision == "bf16":
        round_weights(model)
    options = {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": threads,
        "ENABLE_CPU_PINNING": False,  # decoding and encoding share the cores
    }
    return core.compile_model(model, "CPU", options)


def round_weights(model: openvino.Model) -> None:
    """Round the weights of each convolution to bf16 together. OpenVINO would round each weight by itself."""
    for node in model.get_ops():
        if node.get_type_name() == "Convolution":
            weights = node.input_value(1).get_node()
            if weights.get_type_name() == "Constant" and weights.get_element_type() != openvino.Type.bf16:
                rounded = opset13.constant(diffuse(weights.data))
                node.input(1).replace_source_output(rounded.output(0))


def diffuse(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round weights to bf16 with error diffusion: each rounding error is added to the next weight of the filter.

    This preserves the sum of each filter, and so the mean of its output. Nearest rounding leaves a bias that grows from
    layer to layer: IoU with true masks falls from 0.841 to 0.830, and with error diffusion only to 0.838.
    """
    filters = weights.reshape(len(weights), -1)
    rounded = np.empty_like(filters)
    error = np.zeros(len(weights), np.float32)
    for column in range(filters.shape[1]):
        target = filters[:, column] + error
        rounded[:, column] = target.astype(ml_dtypes.bfloat16)
        error = target - rounded[:, column]
    return rounded.reshape(weights.shape)


def _stored_verdict(report: Path) -> Verdict | None:
    """Return the stored verdict, or None if there is none or an earlier release wrote it with other names."""
    try:
        return msgspec.json.decode(report.read_bytes(), type=Verdict)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def _decide(file: Path, setting: str) -> tuple[Precision, str]:
    if [value.any_name for value in openvino.Core().read_model(file).inputs] != ["image"]:
        return "fp32", "it is a step between networks, whose levels must stay exact"
    if setting != "auto":
        return ("fp32" if setting == "fp32" else "bf16"), "it is set by CUTSTREAM_MODELS__PRECISION"
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return "fp32", "this CPU has no bf16"
    agreement = _agreement(file)
    return (
        "bf16" if agreement >= MIN_AGREEMENT else "fp32",
        f"bf16 and fp32 agree to an IoU of {agreement:.3f}, at least {MIN_AGREEMENT} is required",
    )


def _store(verdict: Verdict, report: Path) -> None:
    """Write the verdict atomically, because a network's instances start at the same time."""
    report.parent.mkdir(parents=True, exist_ok=True)
    part = report.with_suffix(f".{os.getpid()}")
    part.write_bytes(msgspec.json.format(msgspec.json.encode(verdict)) + b"\n")
    part.replace(report)


def _agreement(file: Path) -> float:
    """Return the IoU of the mattes in bf16 and fp32, over all pixels of a few real photos."""
    exact, fast = compile_network(file, "fp32", threads=1), compile_network(file, "bf16", threads=1)
    intersection, union = 0, 0
    for image in _photos(*exact.input(0).shape[1:3]):
        expected, actual = (engine([image[None]])[0] >= 128 for engine in (exact, fast))
        intersection += int(np.count_nonzero(expected & actual))
        union += int(np.count_nonzero(expected | actual))
    return intersection / union if union else 1.0


def _photos(height: int, width: int) -> Iterator[NDArray[np.uint8]]:
    for name in PHOTOS:
        with resources.as_file(resources.files("skimage") / "data" / name) as path, Image.open(path) as photo:
            yield np.asarray(photo.convert("RGB").resize((width, height), Image.Resampling.BOX))

"""Shared code of the backends: run the images of all requests of a call in one engine call, and split the results."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import triton_python_backend_utils as pb
from numpy.typing import NDArray

Tensors: TypeAlias = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Network:
    """The model that a backend instance serves, from Triton's arguments."""

    name: str
    file: Path
    inputs: Sequence[str]
    outputs: Sequence[str]
    instances: int

    @classmethod
    def from_args(cls, args: Mapping[str, str]) -> Network:
        config = json.loads(args["model_config"])
        return cls(
            name=args["model_name"],
            file=Path(args["model_repository"]) / args["model_version"] / "model.onnx",
            inputs=[tensor["name"] for tensor in config["input"]],
            outputs=[tensor["name"] for tensor in config["output"]],
            instances=sum(group["count"] for group in config["instance_group"]),
        )

    @property
    def threads(self) -> int:
        """The number of cores for this instance."""
        return max(1, len(os.sched_getaffinity(0)) // self.instances)


def run_requests(
    network: Network, requests: Sequence[Any], infer: Callable[[list[Tensors]], Iterable[Tensors]]
) -> list[Any]:
    """Run all images of the requests in one engine call and return a response per request, in order.

    `infer` takes the images as batches of one and yields their outputs in the same order. If it fails, every request
    gets the error, and the server continues.
    """
    batches = [_split(network, request) for request in requests]
    try:
        outputs = iter(infer([image for batch in batches for image in batch]))
        return [_response(network, list(islice(outputs, len(batch)))) for batch in batches]
    except Exception as exc:  # any error of the engine concerns these requests
        pb.Logger.log_error(f"{network.name}: {exc}")
        return [pb.InferenceResponse(error=pb.TritonError(str(exc))) for _ in requests]


# Tensors pass by DLPack. Triton's stub was built for NumPy 1 and reads the element size of NumPy 2's types as 0, so its
# `as_numpy()` repeats the first element everywhere and its `Tensor(name, array)` is empty. Triton copies an answer into
# shared memory before the tensor's memory is released.
_USED = b"used_dltensor"  # the capsule refers to these bytes
_rename_capsule = ctypes.pythonapi.PyCapsule_SetName
_rename_capsule.argtypes = (ctypes.py_object, ctypes.c_char_p)


def _split(network: Network, request: Any) -> list[Tensors]:
    tensors = {name: np.from_dlpack(pb.get_input_tensor_by_name(request, name)) for name in network.inputs}
    count = len(tensors[network.inputs[0]])
    return [{name: tensor[index : index + 1] for name, tensor in tensors.items()} for index in range(count)]


def _response(network: Network, outputs: Sequence[Tensors]) -> Any:
    batch = {name: np.concatenate([output[name] for output in outputs]) for name in network.outputs}
    return pb.InferenceResponse([_tensor(name, values) for name, values in batch.items()])


def _tensor(name: str, values: NDArray[Any]) -> Any:
    """Hand an array over to Triton.

    Triton names a capsule that it takes over `used_dlpack`. NumPy knows only `used_dltensor`, and would report an error
    for every capsule of another name.
    """
    capsule = values.__dlpack__()
    tensor = pb.Tensor.from_dlpack(name, capsule)
    _rename_capsule(capsule, _USED)
    return tensor

"""What the backends share: the tensors of all requests of a call as one batch, its answers handed back in parts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import triton_python_backend_utils as pb
from numpy.typing import NDArray

Batch: TypeAlias = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Network:
    """What Triton says about the model that an instance serves."""

    name: str
    file: Path
    inputs: Sequence[str]
    outputs: Sequence[str]
    instances: int

    @classmethod
    def of(cls, args: Mapping[str, str]) -> Network:
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
        """This instance's share of the cores."""
        return max(1, len(os.sched_getaffinity(0)) // self.instances)


def answer(network: Network, requests: Sequence[Any], infer: Callable[[Batch], Batch]) -> list[Any]:
    """One engine call for all requests; when it fails, each of them says why and the server lives on."""
    parts = {name: [_tensor(request, name) for request in requests] for name in network.inputs}
    edges = np.cumsum([len(part) for part in parts[network.inputs[0]]])[:-1]
    try:
        outputs = infer({name: np.concatenate(part) for name, part in parts.items()})
    except Exception as exc:  # whatever an engine throws belongs to these requests
        pb.Logger.log_error(f"{network.name}: {exc}")
        return [pb.InferenceResponse(error=pb.TritonError(str(exc))) for _ in requests]
    answers = zip(*(np.split(outputs[name], edges) for name in network.outputs), strict=True)
    return [_response(network.outputs, one) for one in answers]


# Both ways by DLPack: Triton's stub was built for NumPy 1 and reads the element size of NumPy 2's types as 0, so its
# `as_numpy()` repeats the first element everywhere and its `Tensor(name, array)` is empty.


def _tensor(request: Any, name: str) -> NDArray[Any]:
    return np.from_dlpack(pb.get_input_tensor_by_name(request, name))


def _response(names: Sequence[str], arrays: Sequence[NDArray[Any]]) -> Any:
    tensors = [pb.Tensor.from_dlpack(name, array) for name, array in zip(names, arrays, strict=True)]
    return pb.InferenceResponse(tensors)

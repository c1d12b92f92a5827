"""What the backends share: the pictures of all requests of a call go to the engine together, and back one by one."""

from __future__ import annotations

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


def answer(network: Network, requests: Sequence[Any], infer: Callable[[list[Tensors]], Iterable[Tensors]]) -> list[Any]:
    """One engine call for the pictures of all requests, each a batch of one, answered in their order.

    When it fails, each request says why and the server lives on.
    """
    batches = [_pictures(network, request) for request in requests]
    try:
        answers = iter(infer([picture for batch in batches for picture in batch]))
        return [_response(network, list(islice(answers, len(batch)))) for batch in batches]
    except Exception as exc:  # whatever an engine throws belongs to these requests
        pb.Logger.log_error(f"{network.name}: {exc}")
        return [pb.InferenceResponse(error=pb.TritonError(str(exc))) for _ in requests]


# Both ways by DLPack: Triton's stub was built for NumPy 1 and reads the element size of NumPy 2's types as 0, so its
# `as_numpy()` repeats the first element everywhere and its `Tensor(name, array)` is empty.


def _pictures(network: Network, request: Any) -> list[Tensors]:
    tensors = {name: np.from_dlpack(pb.get_input_tensor_by_name(request, name)) for name in network.inputs}
    count = len(tensors[network.inputs[0]])
    return [{name: tensor[index : index + 1] for name, tensor in tensors.items()} for index in range(count)]


def _response(network: Network, answers: Sequence[Tensors]) -> Any:
    batch = {name: np.concatenate([one[name] for one in answers]) for name in network.outputs}
    return pb.InferenceResponse([pb.Tensor.from_dlpack(name, tensor) for name, tensor in batch.items()])

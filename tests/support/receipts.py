"""Receipts and descriptions as the rendered repository gives them, for tests without a server."""

from __future__ import annotations

import numpy as np
from tritonclient.grpc import model_config_pb2

from cutstream.receipts import Step, digest_numbers, sums

DIGEST = "ab12cd34" * 8


def receipt_of(*tensors: np.ndarray, digest: str = DIGEST) -> np.ndarray:
    """The receipt i32 [N, …] of a step with these inputs and outputs u8, in the order of their names."""
    rows = [np.tile(np.array(digest_numbers(digest), np.int32), (len(tensors[0]), 1))]
    return np.concatenate([*(sums(tensor) for tensor in tensors), *rows], axis=1)


def one_step(model: str = "net", outputs: tuple[str, ...] = ("matte",), digest: str = DIGEST) -> tuple[Step, ...]:
    return (Step(model, f"{model}_receipt", ("image", *sorted(outputs)), digest),)


def add_step(config: model_config_pb2.ModelConfig, step: Step) -> None:
    """Add a step to the description of an ensemble, with tensors named as on its wires."""
    scheduled = config.ensemble_scheduling.step.add(model_name=step.model)
    scheduled.input_map[step.tensors[0]] = step.tensors[0]
    for name in step.tensors[1:]:
        scheduled.output_map[name] = name
    scheduled.output_map["receipt"] = step.receipt
    stated = config.parameters["graphs"]
    stated.string_value = "+".join(filter(None, (stated.string_value, step.digest)))
    config.output.add(name=step.receipt, data_type=model_config_pb2.TYPE_INT32, dims=[step.length])

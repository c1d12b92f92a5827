"""A Triton for one test, and the same steps one after the other in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnxruntime
from onnx import ModelProto

from cutstream.clients.triton import Triton
from cutstream.settings import Settings
from deploy.local.process import Supervisor
from deploy.local.triton import triton_server
from export.formats.served_graph import build_graph
from export.profiles import size_of
from export.repository.render import render
from export.weights.catalogue import network_for
from export.weights.store import ensure_weights
from tests.support.ports import free_stack_ports


@contextmanager
def serve(settings: Settings) -> Iterator[Triton]:
    ports = free_stack_ports()
    settings = settings.model_copy(
        update={
            "stack": settings.stack.model_copy(update=ports),
            "triton": settings.triton.model_copy(update={"url": f"127.0.0.1:{ports['triton_grpc_port']}"}),
        }
    )
    render(settings)
    with Supervisor(60) as supervisor:
        supervisor.start(triton_server(settings))
        client = Triton(settings.triton)
        try:
            yield client
        finally:
            client.close()


def run_graph(graph: ModelProto, **tensors: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, tensors)[0]


def run_network(step: str, settings: Settings, **tensors: np.ndarray) -> np.ndarray:
    """Run the network of a step, one image at a time, as the engines do."""
    model = network_for(step, settings.models)
    graph = build_graph(model, ensure_weights(model, settings.models), *size_of(step))
    count = len(next(iter(tensors.values())))
    images = ({name: values[number : number + 1] for name, values in tensors.items()} for number in range(count))
    return np.concatenate([run_graph(graph, **image) for image in images])

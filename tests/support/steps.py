"""Serving what settings say by a Triton of the test's own, and the same steps one by one in ONNX Runtime."""

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
from export.repository.profiles import size_of
from export.repository.render import render
from export.repository.served_graph import graph_of
from export.weights.catalogue import net_for, require
from tests.support.ports import free_ports


@contextmanager
def triton_of(settings: Settings) -> Iterator[Triton]:
    http, rpc, metrics = free_ports(3)
    ports = {"triton_http_port": http, "triton_grpc_port": rpc, "triton_metrics_port": metrics}
    settings = settings.model_copy(
        update={
            "stack": settings.stack.model_copy(update=ports),
            "triton": settings.triton.model_copy(update={"url": f"127.0.0.1:{rpc}"}),
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


def run(graph: ModelProto, **tensors: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, tensors)[0]


def net(step: str, settings: Settings, **tensors: np.ndarray) -> np.ndarray:
    """One picture at a time, as the engines do."""
    model = net_for(step, settings.models)
    graph = graph_of(model, require(model, settings.models), *size_of(step))
    count = len(next(iter(tensors.values())))
    pictures = ({name: values[number : number + 1] for name, values in tensors.items()} for number in range(count))
    return np.concatenate([run(graph, **picture) for picture in pictures])

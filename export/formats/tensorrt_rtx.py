"""Build the engine of a served graph for TensorRT for RTX, which needs no GPU.

An engine is for several compute capabilities. A GPU compiles its kernels when it is loaded there for the first time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import onnx

from cutstream.errors import ModelMismatch
from cutstream.settings import GraphPrecision
from export.formats.served_graph import ExportReport, report_path, write_atomically
from export.formats.tensorrt_graph import fit_to_tensorrt
from export.formats.tensorrt_plan import Shapes, max_batch, profile_shapes, read_graph
from export.weights.catalogue import Model
from export.weights.store import sha256

TURING = "SM75"


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON file beside an engine: what it was built from, and the GPUs, the release and the shapes it is for."""

    model: str
    precision: GraphPrecision
    source: str
    onnx_sha256: str
    engine_sha256: str
    engine_bytes: int
    compute_capabilities: tuple[str, ...]
    tensorrt_rtx: str
    shapes: dict[str, Shapes]
    graph: str  # the digest on its receipts

    def summary(self) -> str:
        gpus = "compute capabilities " + ", ".join(self.compute_capabilities)
        return f"{self.engine_bytes / 1e6:.1f} MB; TensorRT for RTX {self.tensorrt_rtx}; {gpus}"


def write_engine(trt: Any, model: Model, precision: GraphPrecision, graph: Path, target: Path) -> Engine:
    """Build the engine of an exported graph and write it to `target`, with its description beside it.

    `trt` is the module `tensorrt_rtx`. Raises ModelMismatch and ConfigurationError.
    """
    fitted = fit_to_tensorrt(onnx.load(graph))
    shapes = profile_shapes(fitted, max_batch(model))
    data, capabilities = build_engine(trt, fitted.SerializeToString(), shapes)
    report_path(target).unlink(missing_ok=True)  # that of an earlier engine would be untrue if this ended in between
    write_atomically(target, data)
    report = msgspec.json.decode(report_path(graph).read_bytes(), type=ExportReport)
    engine = Engine(
        model=model.name,
        precision=precision,
        source=report.source,
        onnx_sha256=sha256(graph),
        engine_sha256=sha256(target),
        engine_bytes=len(data),
        compute_capabilities=capabilities,
        tensorrt_rtx=str(trt.__version__),
        shapes=shapes,
        graph=report.graph,
    )
    write_atomically(report_path(target), msgspec.json.format(msgspec.json.encode(engine)) + b"\n")
    return engine


def build_engine(trt: Any, graph: bytes, shapes: dict[str, Shapes]) -> tuple[bytes, tuple[str, ...]]:
    """Build an engine in seconds. Return it with the compute capabilities that it is for.

    They are all that this release knows, or all but 7.5 (Turing), which has neither bf16 nor matrix products in fp32.
    Raises ModelMismatch for a graph that TensorRT cannot run, with the node, the operator and the reason.
    """
    capabilities = [name for name in trt.ComputeCapability.__members__ if name.startswith("SM")]
    capabilities.sort(key=lambda name: int(name[2:]))
    for names in (capabilities, [name for name in capabilities if name != TURING]):
        builder, network, config = read_graph(trt, graph, shapes)
        config.num_compute_capabilities = len(names)
        for number, name in enumerate(names):
            config.set_compute_capability(getattr(trt.ComputeCapability, name), number)
        engine = builder.build_serialized_network(network, config)
        if engine is not None:
            return bytes(engine), tuple(f"{name[2:-1]}.{name[-1]}" for name in names)
    raise ModelMismatch("TensorRT for RTX read the graph but built no engine: see its log above for the reason")

"""Build the TensorRT plan of a served graph, and check that a stored plan fits this machine.

Networks are strongly typed: the casts and Q/DQ nodes of the graph determine the type of each computation, and the
builder needs no precision flags. TensorRT 11 has no other networks. TensorRT 10 builds the same ones with a flag, which
is set here. TensorRT 8 would need builder flags and a calibrator and is not supported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import onnx
from onnx import ModelProto

from cutstream.errors import ConfigurationError, ModelMismatch, WeightsMissing
from cutstream.settings import GraphPrecision, ModelSettings
from export.formats.machine import Machine
from export.formats.served_graph import (
    ExportReport,
    export_command,
    report_path,
    source_digest,
    stored_path,
    write_atomically,
)
from export.formats.tensorrt_graph import fit_to_tensorrt
from export.profiles import max_batch_of, size_of
from export.weights.catalogue import Model
from export.weights.store import ensure_weights, sha256

WORKSPACE_BYTES = 4 << 30


class Shapes(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={"minimum": "least", "optimum": "best", "maximum": "greatest"},  # the keys in stored JSON files
):
    """The range of shapes of one input, batch first. Kernels are chosen for the optimum."""

    minimum: tuple[int, ...]
    optimum: tuple[int, ...]
    maximum: tuple[int, ...]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON file beside a plan: what it was built from, and the machine and shapes that it is for."""

    model: str
    precision: GraphPrecision
    source: str
    onnx_sha256: str
    plan_sha256: str
    machine: Machine
    shapes: dict[str, Shapes]
    graph: str = ""  # the digest on its receipts; plans of earlier releases have none


@dataclass(frozen=True)
class BuiltPlan:
    plan: bytes
    timing_cache: bytes


def write_plan(
    trt: Any,
    model: Model,
    precision: GraphPrecision,
    settings: ModelSettings,
    machine: Machine,
    graph: Path,
    target: Path,
) -> Plan:
    """Build the plan of an exported graph and write it to `target`, with its description beside it.

    `trt` is the module `tensorrt`. The timings of kernels on this GPU are kept in the store for the next build. Raises
    ModelMismatch and ConfigurationError.
    """
    fitted = fit_to_tensorrt(onnx.load(graph))
    shapes = profile_shapes(fitted, max_batch(model))
    timings = timing_cache_path(machine, settings)
    built = build(trt, fitted.SerializeToString(), shapes, timings.read_bytes() if timings.is_file() else b"")
    write_atomically(timings, built.timing_cache)
    report_path(target).unlink(missing_ok=True)  # that of an earlier plan would be untrue if this ended in between
    write_atomically(target, built.plan)
    report = msgspec.json.decode(report_path(graph).read_bytes(), type=ExportReport)
    plan = Plan(
        model=model.name,
        precision=precision,
        source=report.source,
        onnx_sha256=sha256(graph),
        plan_sha256=sha256(target),
        machine=machine,
        shapes=shapes,
        graph=report.graph,
    )
    write_atomically(report_path(target), msgspec.json.format(msgspec.json.encode(plan)) + b"\n")
    return plan


def build(trt: Any, graph: bytes, shapes: dict[str, Shapes], timing_cache: bytes) -> BuiltPlan:
    """Build a plan, which needs a GPU and takes minutes.

    Raises ModelMismatch for a graph that TensorRT cannot run, with the node, the operator and the reason.
    """
    builder, network, config = read_graph(trt, graph, shapes)
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    cache = config.create_timing_cache(timing_cache)
    if not config.set_timing_cache(cache, False):  # it is from another GPU or TensorRT release
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ModelMismatch("TensorRT read the graph but built no plan: see its log above for the reason")
    return BuiltPlan(plan=bytes(plan), timing_cache=bytes(cache.serialize()))


def read_graph(trt: Any, graph: bytes, shapes: dict[str, Shapes]) -> tuple[Any, Any, Any]:
    """Return the builder, the network and a configuration for these shapes. Raises ModelMismatch as `build` does.

    `trt` is the module `tensorrt` or `tensorrt_rtx`.
    """
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        raise ModelMismatch("TensorRT cannot run the graph: " + "; ".join(_parser_errors(parser)))
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    for name, shape in shapes.items():
        profile.set_shape(name, shape.minimum, shape.optimum, shape.maximum)
    if config.add_optimization_profile(profile) < 0:
        raise ModelMismatch(f"TensorRT accepts no batches of the graph: {shapes} is no profile of its inputs")
    return builder, network, config


def require_plan(model: Model, precision: GraphPrecision, settings: ModelSettings, machine: Machine) -> Path:
    """Return the stored plan. Raise WeightsMissing or ConfigurationError if it is missing or does not fit."""
    path = stored_path(model, precision, settings, ".plan")
    if not (path.is_file() and report_path(path).is_file()):
        raise WeightsMissing(
            f"{path} is missing: build it with `{plan_command(model, precision)}`, on the GPU that will run it"
        )
    plan = msgspec.json.decode(report_path(path).read_bytes(), type=Plan)
    source = source_digest(model, ensure_weights(model, settings), *size_of(model.served_step))
    if problem := _mismatch(plan, path, source, max_batch(model), machine):
        raise ConfigurationError(
            f"{path} does not fit: {problem}. Build it again with `{plan_command(model, precision)}`"
        )
    return path


def plan_command(model: Model, precision: GraphPrecision) -> str:
    return f"{export_command(model, precision)} --to tensorrt"


def profile_shapes(graph: ModelProto, max_batch: int) -> dict[str, Shapes]:
    """Return shapes from one image to `max_batch`. The kernels are chosen for full batches, which the worker sends."""
    sizes = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim[1:]] for value in graph.graph.input}
    return {
        name: Shapes(minimum=(1, *size), optimum=(max_batch, *size), maximum=(max_batch, *size))
        for name, size in sizes.items()
    }


def max_batch(model: Model) -> int:
    return 1 if model.one_at_a_time else max_batch_of(model.served_step)


def timing_cache_path(machine: Machine, settings: ModelSettings) -> Path:
    gpu = re.sub(r"\W+", "-", machine.gpu)
    return settings.store / "served" / f"tensorrt-{machine.tensorrt}-{gpu}.timings"


def _parser_errors(parser: Any) -> Iterator[str]:
    for number in range(parser.num_errors):
        error = parser.get_error(number)
        yield f"node {error.node()} {error.node_name()!r} ({error.node_operator()}): {error.desc()}"


def _mismatch(plan: Plan, path: Path, source: str, batch: int, machine: Machine) -> str:
    """Return the reason why the plan does not fit, or an empty string. The driver may differ."""
    if plan.source != source:
        return "it is built from other weights or other glue"
    if not plan.graph:
        return "it is built by an earlier release, without receipts"
    if sha256(path) != plan.plan_sha256:
        return "it is damaged"
    for field in ("gpu", "compute_capability", "tensorrt"):
        expected, actual = getattr(plan.machine, field), getattr(machine, field)
        if expected != actual:
            return f"it is built for {field.replace('_', ' ')} {expected}, but this machine has {actual}"
    batches = {shapes.maximum[0] for shapes in plan.shapes.values()}
    return "" if batches == {batch} else f"it accepts batches of {max(batches)}, but max_batch_size is {batch}"

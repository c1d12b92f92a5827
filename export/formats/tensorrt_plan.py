"""A TensorRT plan of a served graph, and whether a plan fits a machine.

Networks are strongly typed: the casts and Q/DQ nodes of the graph say what computes in which type, and the builder has
no flags for it. TensorRT 11 has no other networks; TensorRT 10 has the same ones when asked, which is why the flag is
given, and needs nothing else. TensorRT 8 would need builder flags and a calibrator instead, and is not supported.
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
from export.repository.profiles import max_batch_of, size_of
from export.repository.served_graph import Written, place_of, put, report_of, source_digest
from export.repository.served_graph import command as exporting
from export.weights.catalogue import Model, require, sha256

WORKSPACE_BYTES = 4 << 30


class Shapes(msgspec.Struct, frozen=True, kw_only=True):
    """Of one input, batch first: the least, the one that is made fastest, the greatest."""

    least: tuple[int, ...]
    best: tuple[int, ...]
    greatest: tuple[int, ...]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What lies beside a plan: of what, by what and for what it is built."""

    model: str
    precision: GraphPrecision
    source: str
    onnx_sha256: str
    plan_sha256: str
    machine: Machine
    shapes: dict[str, Shapes]


@dataclass(frozen=True)
class Built:
    plan: bytes
    timing_cache: bytes


def write_plan(
    trt: Any, model: Model, precision: GraphPrecision, settings: ModelSettings, here: Machine, graph: Path, to: Path
) -> Plan:
    """Builds the plan of an exported graph, with what lies beside it. Raises ModelMismatch and ConfigurationError.

    `trt` is the module `tensorrt`. How fast each kernel is on this GPU is kept in the store for the next building.
    """
    shapes = shapes_of(onnx.load(graph), greatest_batch(model))
    timings = timings_of(here, settings)
    built = build(trt, graph.read_bytes(), shapes, timings.read_bytes() if timings.is_file() else b"")
    put(timings, built.timing_cache)
    put(to, built.plan)
    plan = Plan(
        model=model.name,
        precision=precision,
        source=msgspec.json.decode(report_of(graph).read_bytes(), type=Written).source,
        onnx_sha256=sha256(graph),
        plan_sha256=sha256(to),
        machine=here,
        shapes=shapes,
    )
    put(report_of(to), msgspec.json.format(msgspec.json.encode(plan)) + b"\n")
    return plan


def build(trt: Any, graph: bytes, shapes: dict[str, Shapes], timing_cache: bytes) -> Built:
    """Needs a GPU, and minutes. ModelMismatch for what TensorRT cannot run, by node, operator and reason."""
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        raise ModelMismatch("TensorRT cannot run the graph: " + "; ".join(_refusals(parser)))
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    profile = builder.create_optimization_profile()
    for name, shape in shapes.items():
        profile.set_shape(name, shape.least, shape.best, shape.greatest)
    if config.add_optimization_profile(profile) < 0:
        raise ModelMismatch(f"TensorRT takes no batches of the graph: {shapes} is not a profile of its inputs")
    cache = config.create_timing_cache(timing_cache)
    if not config.set_timing_cache(cache, False):  # it is of another GPU or TensorRT
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ModelMismatch("TensorRT read the graph but built no plan of it: the reason is in its log above")
    return Built(plan=bytes(plan), timing_cache=bytes(cache.serialize()))


def require_plan(model: Model, precision: GraphPrecision, settings: ModelSettings, here: Machine) -> Path:
    """The stored plan, if it fits; else WeightsMissing or ConfigurationError with the command that builds it."""
    path = place_of(model, precision, settings, ".plan")
    if not (path.is_file() and report_of(path).is_file()):
        raise WeightsMissing(f"{path} is missing: `{command(model, precision)}` builds it, on the GPU that it is for")
    plan = msgspec.json.decode(report_of(path).read_bytes(), type=Plan)
    source = source_digest(model, require(model, settings), *size_of(model.fills))
    if why := _misfit(plan, path, source, greatest_batch(model), here):
        raise ConfigurationError(f"{path} does not fit: {why}. `{command(model, precision)}` builds it anew")
    return path


def command(model: Model, precision: GraphPrecision) -> str:
    return f"{exporting(model, precision)} --to tensorrt"


def shapes_of(graph: ModelProto, greatest_batch: int) -> dict[str, Shapes]:
    """From one picture to the greatest batch, which the kernels are chosen for: the worker sends full batches."""
    sizes = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim[1:]] for value in graph.graph.input}
    return {
        name: Shapes(least=(1, *size), best=(greatest_batch, *size), greatest=(greatest_batch, *size))
        for name, size in sizes.items()
    }


def greatest_batch(model: Model) -> int:
    return 1 if model.one_at_a_time else max_batch_of(model.fills)


def timings_of(here: Machine, settings: ModelSettings) -> Path:
    gpu = re.sub(r"\W+", "-", here.gpu)
    return settings.store / "served" / f"tensorrt-{here.tensorrt}-{gpu}.timings"


def _refusals(parser: Any) -> Iterator[str]:
    for number in range(parser.num_errors):
        error = parser.get_error(number)
        yield f"node {error.node()} {error.node_name()!r} ({error.node_operator()}): {error.desc()}"


def _misfit(plan: Plan, path: Path, source: str, batch: int, here: Machine) -> str:
    """Why; empty if it fits. A driver other than the one it was built under is no reason."""
    if plan.source != source:
        return "it is built of other weights or glue"
    if sha256(path) != plan.plan_sha256:
        return "it is damaged"
    for what in ("gpu", "compute_capability", "tensorrt"):
        built, present = getattr(plan.machine, what), getattr(here, what)
        if built != present:
            return f"it is built for {what.replace('_', ' ')} {built}, here is {present}"
    greatest = {shapes.greatest[0] for shapes in plan.shapes.values()}
    return "" if greatest == {batch} else f"it takes batches of {max(greatest)}, max_batch_size is {batch}"

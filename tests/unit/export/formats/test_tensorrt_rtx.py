"""Real engines, built by TensorRT for RTX, which needs no GPU for that."""

from __future__ import annotations

from pathlib import Path

import msgspec
import onnx
import pytest

from cutstream.errors import ModelMismatch
from cutstream.settings import ModelSettings
from export.formats.served_graph import report_path, stored_path
from export.formats.tensorrt_graph import fit_to_tensorrt
from export.formats.tensorrt_plan import Shapes, profile_shapes
from export.formats.tensorrt_rtx import Engine, build_engine, write_engine
from export.formats.write_graph import write
from export.glue.graphs import glue_graphs
from export.profiles import glue_file
from export.weights.catalogue import find_model
from export.weights.store import sha256

trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed (Linux on x86-64)")

GLUE_SIDE = 64  # of maps whose size is free


@pytest.mark.parametrize("name", [glue.name for glue in glue_graphs()])
def test_every_glue_graph_builds(name: str) -> None:
    graph = fit_to_tensorrt(onnx.load(glue_file(name)))
    free = {
        value.name: [dim.dim_value or GLUE_SIDE for dim in value.type.tensor_type.shape.dim[1:]]
        for value in graph.graph.input
    }
    shapes = {name: Shapes(minimum=(1, *size), optimum=(2, *size), maximum=(2, *size)) for name, size in free.items()}
    engine, capabilities = build_engine(trt, graph.SerializeToString(), shapes)
    assert len(engine) > 10_000
    assert "8.9" in capabilities


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_an_exported_network_builds(precision: str, tmp_path: Path) -> None:
    settings = ModelSettings(store=tmp_path)
    model = find_model("cutnet", settings)
    graph, target = (stored_path(model, precision, settings, suffix) for suffix in (".onnx", ".rtx"))
    write(model, precision, None, settings, graph)
    engine = write_engine(trt, model, precision, graph, target)
    assert msgspec.json.decode(report_path(target).read_bytes(), type=Engine) == engine
    assert (engine.model, engine.precision, engine.engine_sha256) == ("cutnet", precision, sha256(target))
    assert engine.shapes["image"].maximum[0] > 1
    assert {"8.0", "8.9", "12.0"} <= set(engine.compute_capabilities)
    assert ("7.5" in engine.compute_capabilities) is (precision != "bf16")  # which Turing does not have
    assert f"{len(target.read_bytes()) / 1e6:.1f} MB; TensorRT for RTX {trt.__version__}" in engine.summary()


def test_a_graph_that_cannot_run_is_refused_with_the_node() -> None:
    graph = onnx.load(glue_file("trimap"))
    graph.graph.node[0].op_type = "Hardmax2"
    with pytest.raises(ModelMismatch, match=r"TensorRT cannot run the graph: node 0 .*Hardmax2"):
        build_engine(trt, graph.SerializeToString(), profile_shapes(graph, 1))

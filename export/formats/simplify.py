"""Simplify a graph with ONNX Runtime's basic optimisations, without changing what it computes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
import onnxruntime
from onnx import ModelProto, helper

from cutstream.errors import ModelMismatch


def simplify(graph: ModelProto) -> ModelProto:
    """Fold constants, and fold batch normalisation and padding into the convolutions.

    The extended level would leave fewer nodes, but some of ONNX Runtime's own operators, which no other engine reads.
    Raises ModelMismatch if the graph is invalid before or after.
    """
    with tempfile.TemporaryDirectory(prefix="cutstream-") as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder) / "model.onnx")
        try:
            onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # ONNX Runtime's exceptions share no base class of their own
            raise ModelMismatch(f"ONNX Runtime cannot load the graph: {exc}") from exc
        simple = onnx.load(options.optimized_model_filepath)
    if foreign := sorted({node.domain for node in simple.graph.node} - {"", "ai.onnx"}):
        raise ModelMismatch(f"ONNX Runtime added operators of its own to the graph ({', '.join(foreign)})")
    version = max(opset.version for opset in simple.opset_import if opset.domain in ("", "ai.onnx"))
    simple.ClearField("opset_import")  # a joined graph has one entry for each of its parts
    simple.opset_import.append(helper.make_opsetid("", version))
    simple.graph.name = "cutout"
    simple.graph.ClearField("value_info")
    return check_graph(simple)


def check_graph(graph: ModelProto) -> ModelProto:
    """Return the graph if ONNX's full check passes. Raise ModelMismatch otherwise."""
    try:
        onnx.checker.check_model(graph, full_check=True)
    except (ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as exc:
        raise ModelMismatch(f"the exported graph is not valid ONNX: {exc}") from exc
    return graph

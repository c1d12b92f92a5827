"""A graph with fewer nodes that computes the same: what ONNX Runtime's basic optimisations leave of it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
import onnxruntime
from onnx import ModelProto, helper

from cutstream.errors import ModelMismatch


def simplify(graph: ModelProto) -> ModelProto:
    """Constants folded, batch normalisation and padding in the convolutions; ONNX's own operators only.

    The extended level would give still fewer nodes, but of ONNX Runtime's own kind, which no other engine reads.
    Raises ModelMismatch for a graph that is none, before and after.
    """
    with tempfile.TemporaryDirectory(prefix="cutstream-") as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder) / "model.onnx")
        try:
            onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # the classes of ONNX Runtime's errors share no base of their own
            raise ModelMismatch(f"ONNX Runtime does not take the graph: {exc}") from exc
        simple = onnx.load(options.optimized_model_filepath)
    if foreign := sorted({node.domain for node in simple.graph.node} - {"", "ai.onnx"}):
        raise ModelMismatch(f"ONNX Runtime put nodes of its own into the graph ({', '.join(foreign)})")
    version = max(opset.version for opset in simple.opset_import if opset.domain in ("", "ai.onnx"))
    simple.ClearField("opset_import")  # a joined graph says it once for each of its parts
    simple.opset_import.append(helper.make_opsetid("", version))
    simple.graph.name = "cutout"
    simple.graph.ClearField("value_info")
    checked(simple)
    return simple


def checked(graph: ModelProto) -> ModelProto:
    """The same graph, once ONNX's full check has passed it; ModelMismatch."""
    try:
        onnx.checker.check_model(graph, full_check=True)
    except (ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as exc:
        raise ModelMismatch(f"the exported graph is not valid ONNX: {exc}") from exc
    return graph

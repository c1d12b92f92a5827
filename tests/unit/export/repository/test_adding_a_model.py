"""docs/adding-a-model.md, followed: its entry becomes a served graph, and its tables leave nothing out."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from cutstream.settings import ModelSettings
from export.repository.profiles import size_of
from export.repository.served_graph import graph_of
from export.weights.catalogue import find_model, require

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "adding-a-model.md").read_text(encoding="utf-8")


def published() -> bytes:
    """A net as the page's entry describes it: RGB of 256×384 in, nearness N×1×256×384 out; here, what is bright."""
    nodes = [helper.make_node("ReduceMean", ["image"], ["nearness"], axes=[1], keepdims=1)]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 256, 384])
    nearness = helper.make_tensor_value_info("nearness", TensorProto.FLOAT, ["batch", 1, 256, 384])
    graph = helper.make_graph(nodes, "net", [image], [nearness])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def test_the_pages_entry_is_all_that_a_net_for_a_step_needs(tmp_path: Path) -> None:
    net = published()
    (entry,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    entry = re.sub(r"(?m)^bytes = .*$", f"bytes = {len(net)}", entry)
    entry = re.sub(r"(?m)^sha256 = .*$", f'sha256 = "{hashlib.sha256(net).hexdigest()}"', entry)
    (tmp_path / "catalogue.toml").write_text(entry)
    (tmp_path / "any name.onnx").write_bytes(net)
    models = ModelSettings(
        catalogue=tmp_path / "catalogue.toml",
        mirror=tmp_path,
        store=tmp_path / "store",
        network_overrides=("my_depth",),
    )
    model = find_model("my_depth", models)
    height, width = size_of(model.fills)
    graph = graph_of(model, require(model, models), height, width)
    onnx.checker.check_model(graph)
    picture = np.zeros((1, height, width, 3), np.uint8)
    picture[:, :, width // 2 :] = 200
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    (depth,) = session.run(["depth"], {"image": picture})
    assert (depth.dtype, depth.shape) == (np.uint8, (1, height, width))
    assert (depth[0, :, 0] == 0).all()
    assert (depth[0, :, -1] == 255).all()


def test_the_page_has_all_glue_around_nets_and_all_modules() -> None:
    rows = set(re.findall(r"`(\w+)`", "\n".join(line for line in PAGE.splitlines() if line.startswith("| `"))))
    around = {path.stem for path in (ROOT / "export" / "graphs").glob("*.onnx")}
    glue = {name for name in around if name.endswith(("_normalise", "_matte"))}
    families = {path.stem for path in (ROOT / "export" / "networks").glob("*.py")} - {"__init__"}
    assert not (glue | families) - rows

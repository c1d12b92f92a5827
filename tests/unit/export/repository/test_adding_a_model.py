"""docs/adding-a-model.md, followed to the letter: its entry becomes a served graph, and its tables are complete."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from cutstream.settings import ModelSettings
from export.formats.served_graph import build_graph
from export.profiles import size_of
from export.weights.catalogue import find_model
from export.weights.store import ensure_weights

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "adding-a-model.md").read_text(encoding="utf-8")


def published() -> bytes:
    """The network of the page's entry: RGB of 256×384 in, nearness N×1×256×384 out. Here bright pixels are near."""
    nodes = [helper.make_node("ReduceMean", ["image"], ["nearness"], axes=[1], keepdims=1)]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 256, 384])
    nearness = helper.make_tensor_value_info("nearness", TensorProto.FLOAT, ["batch", 1, 256, 384])
    graph = helper.make_graph(nodes, "net", [image], [nearness])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def test_the_pages_entry_is_all_that_a_network_for_a_step_needs(tmp_path: Path) -> None:
    network = published()
    (entry,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    entry = re.sub(r"(?m)^bytes = .*$", f"bytes = {len(network)}", entry)
    entry = re.sub(r"(?m)^sha256 = .*$", f'sha256 = "{hashlib.sha256(network).hexdigest()}"', entry)
    (tmp_path / "catalogue.toml").write_text(entry)
    (tmp_path / "any name.onnx").write_bytes(network)
    models = ModelSettings(
        catalogue=tmp_path / "catalogue.toml",
        mirror=tmp_path,
        store=tmp_path / "store",
        network_overrides=("my_depth",),
    )
    model = find_model("my_depth", models)
    height, width = size_of(model.served_step)
    graph = build_graph(model, ensure_weights(model, models), height, width)
    onnx.checker.check_model(graph)
    picture = np.zeros((1, height, width, 3), np.uint8)
    picture[:, :, width // 2 :] = 200
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    (depth,) = session.run(["depth"], {"image": picture})
    assert (depth.dtype, depth.shape) == (np.uint8, (1, height, width))
    assert (depth[0, :, 0] == 0).all()
    assert (depth[0, :, -1] == 255).all()


def test_the_page_lists_all_glue_around_networks_and_all_modules() -> None:
    rows = set(re.findall(r"`(\w+)`", "\n".join(line for line in PAGE.splitlines() if line.startswith("| `"))))
    around = {path.stem for path in (ROOT / "export" / "glue" / "onnx").glob("*.onnx")}
    glue = {name for name in around if name.endswith(("_normalise", "_matte"))}
    families = {path.stem for path in (ROOT / "export" / "networks").glob("*.py")} - {"__init__"}
    assert not (glue | families) - rows

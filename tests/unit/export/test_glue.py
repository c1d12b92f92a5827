"""The committed graphs are what export/glue.py makes; needs torch, which only the `export` extra brings."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

pytest.importorskip("torch", reason="torch is not installed (extra `export`)")

from export import glue
from export.join import GRAPHS, glue_graph

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore"),  # torch's own, on its way through the exporter
]

GLUES = {one.name: one for one in glue.glues()}


@pytest.mark.parametrize("name", GLUES)
def test_the_committed_graph_is_what_the_module_exports(name: str) -> None:
    assert glue.graph(GLUES[name]) == glue_graph(name).read_bytes()


def test_every_committed_graph_has_its_module() -> None:
    assert {path.stem for path in GRAPHS.glob("*.onnx")} == set(GLUES)


@pytest.mark.parametrize("name", GLUES)
def test_the_graph_computes_what_the_module_does(name: str) -> None:
    one = GLUES[name]
    chooser = np.random.default_rng(1)
    example = one.example.numpy()
    data = (chooser.random((3, *example.shape[1:])) * (255 if example.dtype == np.uint8 else 1)).astype(example.dtype)
    session = onnxruntime.InferenceSession(glue_graph(name), providers=["CPUExecutionProvider"])
    (computed,) = session.run([one.output], {one.input: data})
    expected = one.module(glue.torch.from_numpy(data)).numpy()
    assert computed.dtype == expected.dtype
    np.testing.assert_allclose(
        computed.astype(float), expected.astype(float), atol=1 if one.output == "matte" else 1e-5
    )

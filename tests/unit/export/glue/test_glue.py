"""The committed graphs are those that export/glue/ exports. Needs torch, from the `export` extra."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra `export`)")

from export.glue.graphs import GlueGraph, export_glue, glue_graphs  # noqa: E402
from export.profiles import GLUE_GRAPHS, glue_file  # noqa: E402

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore"),  # torch warns during the export
]

GLUES = {glue.name: glue for glue in glue_graphs()}
LEVELS = {"matte", "depth", "semantics", "trimap", "resized"}


def random_inputs(glue: GlueGraph, pictures: int) -> dict[str, np.ndarray]:
    chooser = np.random.default_rng(1)
    inputs = {}
    for name, example in glue.examples.items():
        values = chooser.random((pictures, *example.shape[1:]), dtype=np.float32)
        inputs[name] = (values * 255).astype(np.uint8) if example.dtype == torch.uint8 else values
    return inputs


@pytest.mark.parametrize("name", GLUES)
def test_the_committed_graph_is_what_the_module_exports(name: str) -> None:
    assert export_glue(GLUES[name]) == glue_file(name).read_bytes()


def test_every_committed_graph_has_its_module() -> None:
    assert {path.stem for path in GLUE_GRAPHS.glob("*.onnx")} == set(GLUES)


@pytest.mark.parametrize("name", GLUES)
def test_the_graph_computes_what_the_module_does(name: str) -> None:
    glue = GLUES[name]
    inputs = random_inputs(glue, 2)
    session = onnxruntime.InferenceSession(glue_file(name), providers=["CPUExecutionProvider"])
    (computed,) = session.run([glue.output], inputs)
    expected = glue.module(*map(torch.from_numpy, inputs.values())).numpy()
    assert computed.dtype == expected.dtype
    np.testing.assert_allclose(
        computed.astype(float), expected.astype(float), atol=1 if glue.output in LEVELS else 1e-5
    )

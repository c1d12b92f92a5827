from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

torch = pytest.importorskip("torch", reason="torch is not installed (extra `export`)")

from cutstream.errors import ModelMismatch  # noqa: E402
from export.train.average import average  # noqa: E402
from export.train.cutnet import Cutnet  # noqa: E402
from export.train.cutnet_onnx import from_onnx, to_onnx  # noqa: E402

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore"),  # torch warns during the export
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return a network and another one, made from its file: torch takes 15 s to write one."""
    folder = tmp_path_factory.mktemp("networks")
    torch.manual_seed(1)
    (folder / "1.onnx").write_bytes(to_onnx(Cutnet()))
    model, random = onnx.load(folder / "1.onnx"), np.random.default_rng(2)
    for tensor in model.graph.initializer:
        if (values := numpy_helper.to_array(tensor)).ndim > 1:
            changed = (values * random.uniform(0.5, 2, values.shape)).astype(values.dtype)
            tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
    onnx.save(model, folder / "2.onnx")
    return [folder / "1.onnx", folder / "2.onnx"]


def test_every_tensor_is_the_weighted_mean(files: list[Path]) -> None:
    one, two = (from_onnx(file).state_dict() for file in files)
    mean = average(files, [1.0, 3.0]).state_dict()
    stored = [name for name in mean if name.startswith("encoder.") and mean[name].is_floating_point()]
    assert stored
    for name in stored:
        torch.testing.assert_close(mean[name], 0.25 * one[name] + 0.75 * two[name])


def test_the_command_leaves_a_network_that_loads(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "mean.onnx"
    command = [sys.executable, "-m", "export.train.average", str(out), str(files[0]), f"{files[1]}=3"]
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    expected = average(files, [1.0, 3.0]).state_dict()
    name = next(name for name in expected if name.startswith("encoder.") and expected[name].dim() == 4)
    torch.testing.assert_close(from_onnx(out).state_dict()[name], expected[name], atol=1e-3, rtol=1e-2)  # fp16 file


def test_an_invalid_weight_is_named(files: list[Path], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "export.train.average", str(tmp_path / "mean.onnx"), f"{files[0]}=much"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1
    assert "1.onnx=much: a weight must be a number above 0" in done.stderr
    assert not list(tmp_path.iterdir())


def test_another_file_is_refused(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "other.onnx").write_bytes(b"")
    with pytest.raises(ModelMismatch):
        average([files[0], tmp_path / "other.onnx"], [1.0, 1.0])

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

pytest.importorskip("openvino", reason="openvino is not installed (extra `local`)")

from export.train.photos import TrainingData
from export.train.teacher import teach
from tests.support.models import small_network
from tests.support.training import photo_folder


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("network") / "net.onnx"
    onnx.save(small_network(), file)
    return file


def test_every_photo_gets_a_matte_of_its_size(network: Path, tmp_path: Path) -> None:
    folder = photo_folder(tmp_path / "discs", ["a", "b", "c"], masks=False)
    assert teach(network, [folder]) == 3
    for name in "abc":
        matte = np.asarray(Image.open(folder / "teacher" / f"{name}.webp").convert("L"))
        photo = np.asarray(Image.open(folder / "images" / f"{name}.png").convert("L"))
        assert matte.shape == photo.shape
        assert matte[photo > 128].mean() > matte[photo <= 128].mean() + 2


def test_existing_mattes_are_kept_and_missing_ones_made(network: Path, tmp_path: Path) -> None:
    folder = photo_folder(tmp_path / "discs", ["a", "b"], masks=False)
    teach(network, [folder])
    kept = (folder / "teacher" / "a.webp").stat().st_mtime_ns
    (folder / "teacher" / "b.webp").unlink()
    assert teach(network, [folder]) == 1
    assert (folder / "teacher" / "a.webp").stat().st_mtime_ns == kept
    assert not list((folder / "teacher").glob("*.part"))


def test_unusable_input_is_named(network: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingData, match="has no folder `images`"):
        teach(network, [tmp_path])
    folder = photo_folder(tmp_path / "discs", ["a"], masks=False)
    (folder / "images" / "a.png").write_bytes(b"no picture")
    with pytest.raises(TrainingData, match=r"a\.png: cannot be read"):
        teach(network, [folder])
    damaged = tmp_path / "net.onnx"
    damaged.write_bytes(b"no net")
    with pytest.raises(TrainingData, match=r"net\.onnx: cannot be read as a network"):
        teach(damaged, [folder])

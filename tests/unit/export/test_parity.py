from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cutstream.settings import ModelSettings
from export.catalogue import find_model, require
from export.parity import compare, iou, quality, reference, served
from tests.support.models import disc_of, picture_with_blob, small_models

BLOBS = [((100, 90), 40), ((200, 160), 70), ((160, 250), 25)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelSettings:
    return small_models(tmp_path_factory.mktemp("models"))


def test_the_served_graph_answers_like_the_published_pipeline(models: ModelSettings) -> None:
    model = find_model("u2netp", models)
    weights = require(model, models)
    parity = compare(reference(weights), served(model, weights), [picture_with_blob(*blob) for blob in BLOBS])
    assert (parity.photos, parity.min_iou) == (3, 1.0)
    assert parity.max_difference <= 1
    assert parity.mean_difference < 0.01


def test_differences_are_seen() -> None:
    red_and_green = np.full((4, 4, 3), [0, 255, 0], np.uint8)
    parity = compare(lambda image: image[..., 0], lambda image: image[..., 1], [red_and_green])
    assert (parity.max_difference, parity.mean_difference, parity.mean_iou) == (255, 255.0, 0.0)


def test_iou_of_two_empty_mattes_is_one() -> None:
    assert iou(np.zeros((3, 3), np.uint8), np.zeros((3, 3), np.uint8)) == 1.0


def test_quality_is_measured_at_the_masks_size(models: ModelSettings, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for number, (centre, radius) in enumerate(BLOBS):
        picture = Image.fromarray(picture_with_blob(centre, radius)).resize((640, 480))
        picture.save(tmp_path / "images" / f"{number}.png")
        Image.fromarray(disc_of(centre, radius)).convert("L").resize((640, 480)).save(
            tmp_path / "masks" / f"{number}.png"
        )
    model = find_model("u2netp", models)
    assert quality(served(model, require(model, models)), model, tmp_path) > 0.93

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cutstream.settings import ModelSettings
from export.formats.parity import compare, load_photos, load_published, load_served
from export.weights.catalogue import find_model
from export.weights.store import ensure_weights
from tests.support.models import picture_with_blob, small_models

BLOBS = [((100, 90), 40), ((200, 160), 70), ((160, 250), 25)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelSettings:
    return small_models(tmp_path_factory.mktemp("models"))


def test_the_served_graph_answers_like_the_published_pipeline(models: ModelSettings) -> None:
    model = find_model("u2netp", models)
    weights = ensure_weights(model, models)
    parity = compare(load_published(weights), load_served(model, weights), [picture_with_blob(*blob) for blob in BLOBS])
    assert (parity.photos, parity.min_iou) == (3, 1.0)
    assert parity.max_difference <= 1
    assert parity.mean_difference < 0.01


def test_differences_are_seen() -> None:
    red_and_green = np.full((4, 4, 3), [0, 255, 0], np.uint8)
    parity = compare(lambda image: image[..., 0], lambda image: image[..., 1], [red_and_green])
    assert (parity.max_difference, parity.mean_difference, parity.mean_iou) == (255, 255.0, 0.0)


def test_photos_come_at_the_networks_size_and_in_order(tmp_path: Path) -> None:
    for name, level in (("b.png", 200), ("a.jpg", 100), ("notes.txt", 0)):
        Image.new("RGB", (640, 480), (level,) * 3).save(tmp_path / name, "PNG")
    pictures = list(load_photos(tmp_path, find_model("u2netp", ModelSettings())))
    assert [picture.shape for picture in pictures] == [(320, 320, 3)] * 2
    assert [int(picture.mean()) for picture in pictures] == [100, 200]

"""Encode turns each output into a file of the requested format."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from consumer.jobs import Composed, File, Findings, Segmentation
from consumer.resources.profile_selector import Selection
from consumer.stages.encode import Encode
from cutstream.arrays.cpu import CpuOps
from cutstream.clients.triton import Ensemble
from cutstream.compositing.compose import Layer, Output
from cutstream.images import Image
from cutstream.images.geometry import Box
from tests.support.jobs import job_of

MODEL = Ensemble("cutout_fast", "1", width=8, height=8, max_batch=1)
FINDINGS = Findings(Box(0, 0, 8, 6), 0.5, Segmentation(Selection("fast"), MODEL, 0.1))
RGB = np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8)
ALPHA = np.linspace(0, 255, 48).astype(np.uint8).reshape(6, 8)
RGBA = np.dstack([RGB, ALPHA])


def encoded(output: Output, **options: Any) -> File:
    job = job_of(outputs=(output.name,), **options)
    result = Encode(CpuOps())(job, Composed((output,), Image(RGB, icc=None, dpi=(300, 300)), FINDINGS))
    (file,) = result.files
    return file


def test_an_image_is_one_file() -> None:
    file = encoded(Output("cutout", (Layer("cutout", RGBA),)))
    assert (file.output, file.media_type, file.extension) == ("cutout", "image/png", "png")
    assert (file.width, file.height) == (8, 6)
    np.testing.assert_array_equal(np.asarray(Pillow.open(BytesIO(file.data))), RGBA)


def test_a_zipped_cutout_has_a_file_of_colours_and_one_of_alpha() -> None:
    file = encoded(Output("cutout", (Layer("color", RGB), Layer("alpha", ALPHA))), format="zip", quality=100)
    assert (file.media_type, file.extension) == ("application/zip", "zip")
    with zipfile.ZipFile(BytesIO(file.data)) as archive:
        assert archive.namelist() == ["color.jpg", "alpha.png"]
        colours = np.asarray(Pillow.open(archive.open("color.jpg")), int)
        alpha = np.asarray(Pillow.open(archive.open("alpha.png")))
    assert np.abs(colours - RGB).max() < 12
    np.testing.assert_array_equal(alpha, ALPHA)


def test_zipped_layers_come_with_their_order() -> None:
    layers = (Layer("background", RGB), Layer("shadow", RGBA), Layer("cutout", RGBA))
    file = encoded(Output("layers", layers), keep_metadata=True)
    with zipfile.ZipFile(BytesIO(file.data)) as archive:
        assert json.loads(archive.read("layers.json")) == {
            "width": 8,
            "height": 6,
            "layers": [
                {"name": "background", "file": "background.jpg"},
                {"name": "shadow", "file": "shadow.png"},
                {"name": "cutout", "file": "cutout.png"},
            ],
        }
        cutout = Pillow.open(archive.open("cutout.png"))
        assert cutout.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        np.testing.assert_array_equal(np.asarray(cutout), RGBA)


def test_zipped_layers_can_be_webp() -> None:
    file = encoded(Output("layers", (Layer("background", RGB), Layer("cutout", RGBA))), format="webp")
    with zipfile.ZipFile(BytesIO(file.data)) as archive:
        assert archive.namelist() == ["layers.json", "background.webp", "cutout.webp"]
        assert Pillow.open(archive.open("cutout.webp")).mode == "RGBA"

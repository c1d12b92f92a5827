"""Encode turns each output into a file of the requested format."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from consumer.jobs import Composed, File, Findings, Segmentation
from consumer.resources.profile_selector import Selection
from consumer.stages.encode import Encode
from cutstream.arrays.cpu import CpuOps
from cutstream.clients.triton import Ensemble
from cutstream.compositing.compose import Layer, Output
from cutstream.images import Image
from cutstream.images.colour import from_srgb
from cutstream.images.geometry import Box
from tests.support.jobs import job_of

MODEL = Ensemble("cutout_fast", "1", width=8, height=8, max_batch=1)
FINDINGS = Findings(Box(0, 0, 8, 6), 0.5, Segmentation(Selection("fast"), MODEL, 0.1))
RGB = np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8)
ALPHA = np.linspace(0, 255, 48).astype(np.uint8).reshape(6, 8)
RGBA = np.dstack([RGB, ALPHA])


def encoded(output: Output, **options: Any) -> File:
    job = job_of(outputs=(output.name,), **options)
    result = Encode(CpuOps(), from_srgb)(job, Composed((output,), Image(RGB, icc=None, dpi=(300, 300)), FINDINGS))
    (file,) = result.files
    return file


def warnings_of(source: Image, *outputs: Output, **options: Any) -> list[tuple[str, str]]:
    names = tuple(output.name for output in outputs)
    encoded = Encode(CpuOps(), from_srgb)(job_of(outputs=names, **options), Composed(outputs, source, FINDINGS))
    return [(warning.code, warning.message) for warning in encoded.warnings]


CUTOUT = Output("cutout", (Layer("cutout", RGBA),))
MASK = Output("mask", (Layer("mask", ALPHA),))
LAYERS = Output("layers", (Layer("background", RGB), Layer("cutout", RGBA)))


def test_metadata_that_is_kept_or_not_asked_for_leaves_no_warning() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source = Image(RGB, icc=profile, dpi=(300, 300))
    assert warnings_of(source, CUTOUT, MASK, LAYERS, keep_metadata=True) == []
    assert warnings_of(Image(RGB, icc=b"x", dpi=(4e9, 4e9)), CUTOUT) == []
    assert warnings_of(Image(RGB), CUTOUT, format="webp", keep_metadata=True) == []


def test_a_resolution_that_no_file_can_hold_is_left_out_with_one_warning() -> None:
    (warning,) = warnings_of(Image(RGB, dpi=(70_000, 70_000)), CUTOUT, LAYERS, keep_metadata=True)
    assert warning == (
        "unusable_metadata",
        "keep_metadata: jpeg cannot hold the resolution of 70000 x 70000 dpi; it was left out",
    )
    (warning,) = warnings_of(Image(RGB, dpi=(4e9, 4e9)), CUTOUT, LAYERS, MASK, keep_metadata=True)
    assert "jpeg and png cannot hold the resolution of 4e+09 x 4e+09 dpi" in warning[1]
    (warning,) = warnings_of(Image(RGB, dpi=(300, 300)), CUTOUT, format="webp", keep_metadata=True)
    assert "webp cannot hold" in warning[1]


def test_a_profile_that_is_none_is_left_out_with_one_warning() -> None:
    source = Image(RGB, icc=b"no profile")
    (warning,) = warnings_of(source, CUTOUT, LAYERS, MASK, keep_metadata=True)
    assert warning == (
        "unusable_profile",
        "keep_metadata: the source's colour profile cannot be kept in jpeg and png; the output is sRGB",
    )
    assert warnings_of(source, MASK, keep_metadata=True) == []  # a grey file has no profile


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

"""Ensembles of several steps on the real server: with small networks, and with real weights where available."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import pytest

from cutstream.settings import ModelSettings, Settings
from export.glue.configure import configure_glue
from export.profiles import networks_of, size_of
from export.weights.catalogue import Model, network_for, read_catalogue
from export.weights.store import find_weights
from tests.support.models import disc_of, fused_settings, picture_with_blob
from tests.support.steps import run_graph, run_network, serve

pytestmark = [pytest.mark.triton, pytest.mark.timeout(180)]

MIRROR = os.environ.get("CUTSTREAM_MODELS__MIRROR", "")
REAL = [
    ("general", "u2netp"),
    ("portrait", "selfie"),
    ("portrait", "sinet"),
    ("portrait", "rvm"),
    ("person", "yolov8n_seg"),
    ("depth", "tcmonodepth"),
    ("semantic", "deeplabv3_mobilenetv2"),
    ("depth_fused", "deeplabv3_mobilenetv2"),
    ("hair", "closed_form"),
]


def expected(profile: str, settings: Settings, pictures: np.ndarray) -> np.ndarray:
    """Run the same steps one after the other in ONNX Runtime."""
    if profile == "hair":
        semantics = run_network("semantics", settings, image=pictures)
        trimap = run_graph(configure_glue("trimap", *size_of("trimap"), settings.glue), semantics=semantics)
        return run_network("matting", settings, image=pictures, trimap=trimap)
    if not profile.startswith("depth"):
        step = {"person": "people", "general": "u2netp", "semantic": "semantics"}.get(profile, profile)
        return run_network(step, settings, image=pictures)
    size = size_of("depth")
    near = run_graph(
        configure_glue("depth_foreground", *size, settings.glue), depth=run_network("depth", settings, image=pictures)
    )
    if profile == "depth":
        return near
    semantics = run_network("semantics", settings, image=pictures)
    return run_graph(configure_glue("intersection", *size, settings.glue), near=near, semantics=semantics)


def test_the_steps_of_an_ensemble_give_what_they_give_one_by_one(tmp_path: Path) -> None:
    settings = fused_settings(tmp_path)
    settings = settings.model_copy(update={"models": settings.models.model_copy(update={"engine": "onnxruntime"})})
    side = size_of("depth")[0]
    pictures = np.stack([picture_with_blob((180 + 60 * n, 200), 90 + 20 * n, side) for n in range(3)])
    with serve(settings) as triton:
        ensemble = triton.ensemble("depth_fused")
        mattes, depths = triton.infer_with_depth(ensemble, pictures)
    assert (ensemble.networks, ensemble.max_batch) == (("shallow", "semantic_one"), 4)
    assert np.array_equal(mattes, expected("depth_fused", settings, pictures))
    assert np.array_equal(depths, run_network("depth", settings, image=pictures))
    for number, matte in enumerate(mattes):
        disc = disc_of((180 + 60 * number, 200), 90 + 20 * number, side)
        assert ((matte >= 128) & disc).sum() / ((matte >= 128) | disc).sum() > 0.85


@pytest.mark.weights
@pytest.mark.parametrize(("profile", "name"), REAL)
def test_real_weights_cut_out_real_photos(tmp_path: Path, profile: str, name: str) -> None:
    models = ModelSettings(
        mirror=Path(MIRROR) if MIRROR else None,
        store=tmp_path / "store",
        profiles=(profile,),
        default_profile=profile,
        network_overrides=(name, "tcmonodepth", "deeplabv3_mobilenetv2"),
        engine="onnxruntime",
    )
    if any(not find_weights(model, models) for model in needed(profile, models)):
        pytest.skip(f"CUTSTREAM_MODELS__MIRROR names no folder with the weights of {name}")
    settings = Settings(models=models)
    settings = settings.model_copy(update={"stack": settings.stack.model_copy(update={"state": tmp_path / "state"})})
    with serve(settings) as triton:
        ensemble = triton.ensemble(profile)
        with resources.as_file(resources.files("skimage") / "data" / "astronaut.png") as path:
            photo = cv2.imread(str(path))[..., ::-1]
        picture = cv2.resize(photo, (ensemble.width, ensemble.height), interpolation=cv2.INTER_AREA)[None]
        (matte,) = triton.infer(ensemble, picture)
    assert name in ensemble.networks
    difference = np.abs(matte.astype(int) - expected(profile, settings, picture)[0])
    assert difference.max() <= 1
    height, width = matte.shape
    person = matte[int(0.5 * height) : int(0.9 * height), int(0.35 * width) : int(0.5 * width)]
    assert person.mean() > 200
    assert matte[: height // 5, : width // 5].mean() < 60


def needed(profile: str, models: ModelSettings) -> list[Model]:
    return [network_for(step, models) for step in networks_of([profile])]


def test_every_network_of_a_step_is_tried_here() -> None:
    # cutnet and isnet have their own tests. yolov8n_boxes needs a second network that nobody publishes as ONNX.
    tried = {name for _, name in REAL} | {"cutnet", "isnet", "yolov8n_boxes"}
    assert {model.name for model in read_catalogue(ModelSettings()) if not model.family} == tried

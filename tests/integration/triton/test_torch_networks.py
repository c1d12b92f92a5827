"""Torch networks with random weights from end to end: torch, ONNX, glue, Triton, matte."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed (extra `export`)")
pytest.importorskip("transformers", reason="transformers is not installed (extra `export`)")

from cutstream.clients.triton import Triton
from cutstream.settings import Settings, StackSettings
from export.glue.configure import configure_glue
from export.profiles import size_of
from export.weights.catalogue import select_models
from tests.support.run_folder import run_folder
from tests.support.steps import run_graph, run_network, serve
from tests.support.torch_networks import TINY, put_into_store, tiny_models

pytestmark = [
    pytest.mark.triton,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore"),  # torch warns during the export
]

# The profile that serves each family. A server has one network per step, so several servers are needed.
ROUNDS = (
    {"general": "u2net", "depth": "depth_anything", "semantic": "deeplab", "hair": "vitmatte"},
    {"precise": "isnet", "semantic": "segmentation", "hair": "deep_matting", "portrait": "modnet"},
    {"person": "mask_rcnn", "semantic": "deeplab_atrous", "portrait": "rvm", "prompted": "sam2"},
    {"everything": "sam2_everything"},
)
STEPS = {
    "general": "u2netp",
    "precise": "isnet",
    "portrait": "portrait",
    "person": "people",
    "semantic": "semantics",
    "everything": "everything",
}
PHOTOS = ("astronaut.png", "chelsea.png")


@pytest.fixture(scope="module")
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Settings, Triton]]:
    folder, one = tmp_path_factory.mktemp("families"), ROUNDS[request.param]
    models = tiny_models(folder).model_copy(
        update={
            "profiles": tuple(one),
            "default_profile": next(iter(one)),
            "network_overrides": tuple(f"tiny_{family}" for family in one.values()),
            "engine": "onnxruntime",
        }
    )
    for model in select_models(models):
        if model.family:
            put_into_store(model.family.split(":")[0], run_folder(tmp_path_factory), models)
    settings = Settings(models=models, stack=StackSettings(state=folder / "state", private=False))
    with serve(settings) as triton:
        yield settings, triton


def photos(side: int) -> np.ndarray:
    found = []
    for name in PHOTOS:
        with resources.as_file(resources.files("skimage") / "data" / name) as path:
            found.append(cv2.resize(cv2.imread(str(path))[..., ::-1], (side, side), interpolation=cv2.INTER_AREA))
    return np.stack(found)


def step_by_step(profile: str, settings: Settings, pictures: np.ndarray) -> np.ndarray:
    if profile in STEPS:
        return run_network(STEPS[profile], settings, image=pictures)
    if profile == "depth":
        depth = run_network("depth", settings, image=pictures)
        return run_graph(configure_glue("depth_foreground", *size_of("depth"), settings.glue), depth=depth)
    if profile == "prompted":
        return run_network(
            "prompted_masks", settings, image=pictures, boxes=run_network("boxes", settings, image=pictures)
        )
    semantics = run_network("semantics", settings, image=pictures)
    trimap = run_graph(configure_glue("trimap", *size_of("trimap"), settings.glue), semantics=semantics)
    return run_network("matting", settings, image=pictures, trimap=trimap)


def test_every_family_is_served_here() -> None:
    assert sorted(family for one in ROUNDS for family in one.values()) == sorted(TINY)


@pytest.mark.parametrize("served", range(len(ROUNDS)), indirect=True, ids=["+".join(one) for one in ROUNDS])
def test_the_served_mattes_are_the_steps_mattes(served: tuple[Settings, Triton]) -> None:
    settings, triton = served
    for profile in settings.models.profiles:
        check_profile(profile, settings, triton)


def check_profile(profile: str, settings: Settings, triton: Triton) -> None:
    ensemble = triton.ensemble(profile)
    pictures = photos(ensemble.width)
    most = ensemble.max_batch
    mattes = np.concatenate([triton.infer(ensemble, pictures[n : n + most]) for n in range(0, len(pictures), most)])
    expected = step_by_step(profile, settings, pictures)
    assert mattes.any(), profile  # empty mattes would agree trivially
    # A difference of one level before a threshold changes few pixels.
    assert (np.abs(mattes.astype(int) - expected) <= 1).mean() > 0.999, profile
    assert set(ensemble.networks) <= {*settings.models.network_overrides, "tiny_detector"}
    steps, networks = {"depth": (2, 1), "hair": (3, 2), "prompted": (2, 2)}.get(profile, (1, 1))
    assert (len(ensemble.digest.split("+")), len(ensemble.networks)) == (steps, networks)

"""Nets of torch with random weights, the whole way: torch, ONNX, glue, Triton, matte."""

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
from export.formats.torch_to_onnx import export
from export.repository.glue_settings import tuned
from export.repository.profiles import size_of
from export.weights.catalogue import chosen
from tests.support.steps import net, run, triton_of
from tests.support.torch_networks import TINY, checkpoint_of, tiny_models

pytestmark = [
    pytest.mark.triton,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore"),  # torch's own, on its way through the exporter
]

# Which profile shows a family, in as few servers as have a net for a step only once.
ROUNDS = (
    {"general": "u2net", "depth": "depth_anything", "semantic": "deeplab", "hair": "vitmatte"},
    {"precise": "isnet", "semantic": "segmentation", "hair": "deep_matting", "portrait": "modnet"},
    {"person": "mask_rcnn", "semantic": "deeplab_atrous", "portrait": "rvm", "prompted": "sam2"},
    {"everything": "sam2_everything"},
)
CASES = [(number, profile) for number, one in enumerate(ROUNDS) for profile in one]
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
    for model in chosen(models):
        if model.family:
            export(model, checkpoint_of(model.family.split(":")[0], folder), models)
    settings = Settings(models=models, stack=StackSettings(state=folder / "state"))
    with triton_of(settings) as triton:
        yield settings, triton


def photos(side: int) -> np.ndarray:
    found = []
    for name in PHOTOS:
        with resources.as_file(resources.files("skimage") / "data" / name) as path:
            found.append(cv2.resize(cv2.imread(str(path))[..., ::-1], (side, side), interpolation=cv2.INTER_AREA))
    return np.stack(found)


def step_by_step(profile: str, settings: Settings, pictures: np.ndarray) -> np.ndarray:
    if profile in STEPS:
        return net(STEPS[profile], settings, image=pictures)
    if profile == "depth":
        depth = net("depth", settings, image=pictures)
        return run(tuned("depth_foreground", *size_of("depth"), settings.glue), depth=depth)
    if profile == "prompted":
        return net("prompted_masks", settings, image=pictures, boxes=net("boxes", settings, image=pictures))
    semantics = net("semantics", settings, image=pictures)
    trimap = run(tuned("trimap", *size_of("trimap"), settings.glue), semantics=semantics)
    return net("matting", settings, image=pictures, trimap=trimap)


def test_every_family_is_served_here() -> None:
    assert sorted(family for one in ROUNDS for family in one.values()) == sorted(TINY)


@pytest.mark.parametrize(
    ("served", "profile"), CASES, indirect=["served"], ids=[f"{n}-{profile}" for n, profile in CASES]
)
def test_the_served_matte_is_the_steps_matte(served: tuple[Settings, Triton], profile: str) -> None:
    settings, triton = served
    ensemble = triton.ensemble(profile)
    pictures = photos(ensemble.width)
    most = ensemble.max_batch
    mattes = np.concatenate([triton.infer(ensemble, pictures[n : n + most]) for n in range(0, len(pictures), most)])
    expected = step_by_step(profile, settings, pictures)
    assert mattes.any()  # nothing found would be easy to agree on
    # A step of one level in what goes into a threshold moves few pixels.
    assert (np.abs(mattes.astype(int) - expected) <= 1).mean() > 0.999
    assert set(ensemble.networks) <= {*settings.models.network_overrides, "tiny_detector"}
    steps, networks = {"depth": (2, 1), "hair": (3, 2), "prompted": (2, 2)}.get(profile, (1, 1))
    assert (len(ensemble.digest.split("+")), len(ensemble.networks)) == (steps, networks)

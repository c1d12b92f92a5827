"""Every option changes every output that it is accepted for; otherwise it is refused by its name.

The test draws each output with and without the option, and compares the files.
"""

from __future__ import annotations

from functools import cache
from typing import Any, get_args

import numpy as np
import pytest
from PIL import ImageCms

from consumer.jobs import Composed, Findings, Segmentation
from consumer.resources.profile_selector import Selection
from consumer.stages.encode import Encode
from cutstream.arrays.cpu import CpuOps
from cutstream.clients.triton import Ensemble
from cutstream.compositing.compose import compose
from cutstream.compositing.specs import OutputName
from cutstream.contract.messages import Request, decode_request, encode
from cutstream.contract.options import (
    Background,
    Gradient,
    Harmonise,
    Light,
    Perspective,
    RefineParameters,
    Shadow,
)
from cutstream.contract.recipe import parameters_of, parse_recipe
from cutstream.errors import InvalidOption
from cutstream.images import Image
from cutstream.images.colour import from_srgb
from cutstream.images.geometry import Box
from cutstream.matting.presets import PRESETS
from tests.support.jobs import job_of

OPS = CpuOps()
OUTPUTS: tuple[OutputName, ...] = get_args(OutputName)
MODEL = Ensemble("cutout_fast", "1", width=8, height=8, max_batch=1)
FINDINGS = Findings(Box(0, 0, 8, 6), 0.5, Segmentation(Selection("fast"), MODEL, 0.1))
WIDTH, HEIGHT = 640, 400  # more than 0.25 megapixels, which is size `preview`
SKY = Background(image="sky")
SUNSET = Gradient(colors=("navy", "orange"))

# An option that is not the default, and what it needs beside it.
OPTIONS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("quality", {"quality": 30}, {}),
    ("quality", {"quality": 30}, {"format": "png"}),
    ("quality", {"quality": 30}, {"format": "webp"}),
    ("quality", {"quality": 30}, {"format": "zip"}),
    ("quality", {"quality": 30}, {"background": Background(color="transparent")}),
    ("channels", {"channels": "alpha"}, {}),
    ("size", {"size": "preview"}, {}),
    ("roi", {"roi": "0 0 50% 100%"}, {}),
    ("crop", {"crop": True}, {}),
    ("crop", {"crop": True}, {"canvas": "300x300"}),
    ("crop", {"crop": True}, {"perspective": Perspective(baseline="20% 90% 70% 80%")}),
    ("crop", {"crop": True}, {"perspective": Perspective(baseline="20% 90% 70% 80%"), "canvas": "300x300"}),
    (
        "crop",
        {"crop": True},
        {
            "perspective": Perspective(baseline="20% 90% 70% 80%"),
            "canvas": "300x300",
            "background": Background(blur=5),
        },
    ),
    ("crop_margin", {"crop_margin": "20px"}, {"crop": True}),
    ("crop_margin", {"crop_margin": "20px"}, {}),
    ("scale", {"scale": "40%"}, {}),
    ("position", {"position": "0% 100%"}, {"scale": "40%"}),
    ("position", {"position": "0% 100%"}, {}),
    ("canvas", {"canvas": "300x200"}, {}),
    ("perspective", {"perspective": Perspective(baseline="20% 90% 70% 80%")}, {}),
    ("decontaminate", {"decontaminate": True}, {"decontaminate": False}),
    ("decontaminate", {"decontaminate": True}, {"decontaminate": False, "channels": "alpha"}),
    ("decontaminate", {"decontaminate": True}, {"background": Background(color="transparent")}),
    ("background", {"background": Background(color="teal")}, {}),
    ("background", {"background": Background(color="transparent")}, {}),
    ("background", {"background": Background(gradient=SUNSET)}, {}),
    ("background", {"background": Background(blur=9)}, {}),
    ("background", {"background": SKY}, {}),
    (
        "background.color",
        {"background": Background(color="teal", gradient=SUNSET)},
        {"background": Background(gradient=SUNSET)},
    ),
    ("background.color", {"background": Background(color="teal", blur=9)}, {"background": Background(blur=9)}),
    ("background.fit", {"background": Background(fit="tile", image="sky")}, {"background": SKY}),
    ("background.fit", {"background": Background(fit="contain")}, {}),
    (
        "background.gradient.angle",
        {"background": Background(gradient=Gradient(colors=("navy", "red"), angle=90))},
        {"background": Background(gradient=Gradient(colors=("navy", "red")))},
    ),
    (
        "background.gradient.angle",
        {"background": Background(gradient=Gradient(colors=("navy", "red"), type="radial", angle=90))},
        {"background": Background(gradient=Gradient(colors=("navy", "red"), type="radial"))},
    ),
    *(("shadow", {"shadow": type}, {}) for type in ("drop", "contact", "cast")),
    *(
        ("shadow.light", {"shadow": Shadow(type=type, light=Light(angle=20))}, {"shadow": type})
        for type in ("drop", "contact", "cast")
    ),
    *(
        ("shadow.light", {"shadow": Shadow(type=type, light=Light(length=0.3))}, {"shadow": type})
        for type in ("drop", "contact", "cast")
    ),
    *(
        ("shadow.light", {"shadow": Shadow(type=type, light="auto")}, {"shadow": type})
        for type in ("drop", "contact", "cast")
    ),
    *(
        ("shadow", {"shadow": Shadow(type=type, softness=30, opacity=0.9, color="navy")}, {"shadow": type})
        for type in ("drop", "contact", "cast")
    ),
    *(("shadow.depth", {"shadow": Shadow(type=type, depth=True)}, {"shadow": type}) for type in ("drop", "contact")),
    ("harmonise", {"harmonise": "reinhard"}, {"background": SKY}),
    ("harmonise", {"harmonise": "histogram"}, {"background": Background(blur=9)}),
    ("harmonise", {"harmonise": Harmonise(strength=0.9)}, {"background": SKY, "harmonise": "reinhard"}),
    ("harmonise", {"harmonise": "reinhard"}, {}),
    ("inpaint", {"inpaint": "navier_stokes"}, {}),
    ("existing_alpha", {"existing_alpha": "keep"}, {}),
    ("existing_alpha", {"existing_alpha": "multiply"}, {}),
    ("keep_metadata", {"keep_metadata": True}, {}),
    ("keep_metadata", {"keep_metadata": True}, {"channels": "alpha"}),
    ("keep_metadata", {"keep_metadata": True}, {"format": "webp"}),
    ("keep_metadata", {"keep_metadata": True}, {"format": "webp", "channels": "alpha"}),
    ("format", {"format": "png"}, {}),
    ("format", {"format": "webp"}, {}),
    ("format", {"format": "jpeg"}, {}),
    ("format", {"format": "zip"}, {}),
    ("format", {"format": "zip"}, {"channels": "alpha"}),
]
WITHOUT_EFFECT_ON_PIXELS = {"id", "image", "profile", "hint", "outputs", "destination", "deadline", "labels", "replay"}
IN_ANOTHER_STAGE = {"refine", "matting"}


class Sky:
    """A background picture: brighter on one side, repeated or scaled as asked."""

    def fit(self, width: int, height: int, fit: str, colour: Any) -> np.ndarray:
        columns = np.arange(width) % 97 if fit == "tile" else np.linspace(0, 255, width)
        return np.ascontiguousarray(np.broadcast_to(columns.astype(np.uint8)[None, :, None], (height, width, 3)))


def photo() -> Image:
    """A photo of noise with a bright subject, an alpha channel of its own, a profile and a resolution."""
    pixels = np.random.default_rng(3).integers(0, 120, (HEIGHT, WIDTH, 3), np.uint8)
    pixels[120:300, 200:420] += np.uint8(120)
    own = np.zeros((HEIGHT, WIDTH), np.uint8)
    own[150:280, 220:400] = 255
    own[[0, -1]] = own[:, [0, -1]] = 255  # an opaque border: by itself it does not count as cut out
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return Image(pixels, own, "png", profile, (300, 300))


def matte() -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot((rows - 210) / 90, (columns - 310) / 110)
    return np.clip((1.1 - distance) * 5 * 255, 0, 255).astype(np.uint8)


PHOTO, MATTE = photo(), matte()


def file_of(request: Request) -> tuple[str, bytes]:
    """Return the extension and the bytes of the request's one output."""
    return drawn(encode(request))


@cache
def drawn(encoded: bytes) -> tuple[str, bytes]:
    request = decode_request(encoded)
    recipe = parse_recipe(request)
    picture = Sky() if recipe.composition.background.picture else None
    composed = compose(PHOTO, MATTE, recipe.composition, OPS, picture)
    job = job_of(**{name: getattr(request, name) for name in Request.__struct_fields__ if name != "image"})
    (file,) = Encode(OPS, from_srgb)(job, Composed(composed.outputs, PHOTO, FINDINGS)).files
    return file.extension, file.data


def request_of(output: OutputName, **fields: Any) -> Request:
    return decode_request(encode(Request(image="s3://a/b.png", outputs=(output,), **fields)))


def refusal_of(request: Request) -> str | None:
    try:
        parse_recipe(request)
    except InvalidOption as exc:
        return str(exc)
    return None


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize(("name", "option", "base"), OPTIONS, ids=lambda value: str(value)[:60])
def test_an_option_changes_the_output_or_is_refused_by_its_name(
    output: OutputName, name: str, option: dict[str, Any], base: dict[str, Any]
) -> None:
    plain, changed = request_of(output, **base), request_of(output, **{**base, **option})
    refusal = refusal_of(changed)
    if refusal is not None:
        field, base_refusal = name.split(".")[0], refusal_of(plain)
        assert refusal.startswith((name, field)) or refusal == base_refusal
        return
    if name == "format":
        extension = {"jpeg": "jpg"}.get(changed.format, changed.format)
        assert file_of(changed)[0] == ("zip" if output == "layers" else extension)
    if name != "format" or output == "layers":
        assert changed.format == "zip" or file_of(changed)[1] != file_of(plain)[1]


def test_every_option_is_in_the_table() -> None:
    named = {name.split(".")[0] for name, _, _ in OPTIONS}
    assert named | WITHOUT_EFFECT_ON_PIXELS | IN_ANOTHER_STAGE == set(Request.__struct_fields__)


@pytest.mark.parametrize(
    ("refine", "message"),
    [
        ({"kernel": 5}, "refine.kernel does nothing without `close` or `open`"),
        ({"kernel": 5, "dilate": 1, "dilate_kernel": 7}, "refine.kernel does nothing"),
        ({"dilate_kernel": 5}, "refine.dilate_kernel does nothing without `dilate`"),
        ({"scale": "none"}, "refine.scale does nothing"),
        ({"scale": "none", "threshold": 9}, "refine.scale does nothing"),
    ],
)
def test_sizes_without_a_step_are_refused(refine: dict[str, Any], message: str) -> None:
    assert (refusal_of(request_of("cutout", refine=RefineParameters(**refine))) or "").startswith(message)


@pytest.mark.parametrize(
    "refine", [{"kernel": 5, "close": 1}, {"kernel": 5, "dilate": 1}, {"scale": "none", "blur": 3}]
)
def test_sizes_with_their_step_are_accepted(refine: dict[str, Any]) -> None:
    assert refusal_of(request_of("cutout", refine=RefineParameters(**refine))) is None


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_may_be_written_out(name: str) -> None:
    assert refusal_of(request_of("cutout", refine=parameters_of(PRESETS[name]))) is None

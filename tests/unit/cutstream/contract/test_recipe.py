"""Requests become recipes, or are refused before any work."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timezone
from typing import Any

import msgspec
import pytest

from cutstream.compositing.specs import (
    CompositionSpec,
    Gradient,
    HarmoniseSpec,
    Light,
    PerspectiveSpec,
    PlacementSpec,
    ShadowSpec,
)
from cutstream.contract import options
from cutstream.contract.messages import Request
from cutstream.contract.options import Background, Harmonise, Perspective, RefineParameters, Shadow
from cutstream.contract.recipe import Recipe, file_format, parameters_of, parse_recipe, refinement_of
from cutstream.errors import InvalidOption, RegionOutOfBounds
from cutstream.images.geometry import Length, Margin, Region
from cutstream.matting.presets import PRESETS
from cutstream.matting.specs import MattingSpec, Refinement

COMPOSITE: Any = ("composite",)
GLASS = Background(color="transparent")


def parsed(**fields: Any) -> Recipe:
    return parse_recipe(Request(image="s3://bucket/photo.jpg", **fields))


def composed(**fields: Any) -> CompositionSpec:
    return parsed(**fields).composition


def test_the_default_request_passes() -> None:
    recipe = parsed()
    assert recipe.refinement == PRESETS["soft"]
    assert recipe.matting is None
    assert recipe.composition == CompositionSpec()
    assert (recipe.encoding.formats, recipe.encoding.layers) == ({"cutout": "png"}, "jpeg_or_png")


def test_texts_become_values() -> None:
    px, percent = (lambda value: Length(value, False)), (lambda value: Length(value, True))
    spec = composed(
        outputs=("composite", "layers", "overlay"),
        roi="0 0 50% 30px",
        crop=True,
        crop_margin="5 10%",
        canvas="80x90",
        size="preview",
        perspective=Perspective(baseline="10 80% 60 80%", horizon="20"),
        background=Background(gradient=options.Gradient(colors=("red", "#00f"), angle=30)),
        shadow=Shadow(type="cast", light=options.Light(angle=12, length=1), softness=3, opacity=1, color="#800000"),
    )
    assert spec.region == Region((px(0), px(0), percent(50), px(30)))
    assert spec.crop == Margin(px(5), percent(10), px(5), percent(10))
    assert spec.placement == PlacementSpec(
        canvas=(80, 90),
        max_pixels=250_000,
        perspective=PerspectiveSpec(baseline=(px(10), percent(80), px(60), percent(80)), horizon=px(20)),
    )
    assert spec.background.gradient == Gradient(colours=((255, 0, 0), (0, 0, 255)), angle=30)
    assert spec.shadow == ShadowSpec(
        type="cast", light=Light(angle=12, length=1), softness=3, opacity=1, colour=(128, 0, 0)
    )


def test_plain_values_are_handed_on() -> None:
    deadline = datetime(2030, 1, 1, tzinfo=timezone.utc)
    recipe = parsed(
        profile="auto",
        hint="speed",
        destination="s3://there",
        deadline=deadline,
        format="webp",
        quality=7,
        keep_metadata=True,
        existing_alpha="keep",
        decontaminate=True,
        outputs=("background", "cutout"),
        inpaint="navier_stokes",
    )
    assert (recipe.image, recipe.destination) == ("s3://bucket/photo.jpg", "s3://there")
    assert (recipe.deadline, recipe.hint) == (deadline, "speed")
    assert (recipe.encoding.quality, recipe.encoding.keep_metadata, recipe.encoding.layers) == (7, True, "webp")
    assert recipe.composition == CompositionSpec(
        outputs=("background", "cutout"),
        existing_alpha="keep",
        decontaminated=frozenset({"cutout"}),
        inpaint="navier_stokes",
    )


@pytest.mark.parametrize(
    ("fields", "outputs"),
    [
        ({}, set()),
        ({"outputs": ("composite",)}, {"composite"}),  # it is on white
        ({"outputs": ("composite",), "background": GLASS}, set()),
        ({"outputs": ("cutout", "composite"), "background": Background(color="teal")}, {"composite"}),
        ({"outputs": ("layers",), "background": Background(blur=20)}, {"layers"}),
        ({"outputs": ("composite",), "background": Background(color="white"), "decontaminate": False}, set()),
        ({"outputs": ("cutout", "mask", "composite"), "decontaminate": True}, {"cutout", "composite"}),
    ],
)
def test_a_new_background_frees_the_composite_of_the_old_ones_colours(
    fields: dict[str, Any], outputs: set[str]
) -> None:
    assert composed(**fields).decontaminated == outputs


def test_scale_and_position() -> None:
    placement = composed(scale="50%", position="10% 20%").placement
    assert (placement.scale, placement.position) == (0.5, (0.1, 0.2))
    placement = composed(scale="original", position="original").placement
    assert (placement.scale, placement.position) == ("original", "original")
    assert composed(position="center").placement.position == (0.5, 0.5)


def test_cropping_without_a_margin_keeps_none() -> None:
    assert composed(crop=True).crop == Margin(*[Length(0, False)] * 4)
    assert composed().crop is None


@pytest.mark.parametrize(
    ("fields", "form"),
    [
        ({}, "rgba"),
        ({"channels": "alpha"}, "alpha"),
        ({"format": "zip"}, "separate"),
        ({"format": "zip", "channels": "alpha", "outputs": ("cutout", "layers")}, "alpha"),
    ],
)
def test_the_cutouts_form(fields: dict[str, Any], form: str) -> None:
    assert composed(**fields).cutout_form == form


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"refine": "sharp"}, InvalidOption, "soft, base"),
        ({"refine": RefineParameters(kernel=99, close=20)}, InvalidOption, "footprint"),
        ({"refine": RefineParameters(kernel=4)}, InvalidOption, "`kernel` is 4.*odd"),
        ({"roi": "1 2 3"}, InvalidOption, "roi"),
        ({"roi": "10 10 5 20"}, InvalidOption, "top left corner first"),
        ({"roi": "10% 40% 50% 40%"}, InvalidOption, "top left corner first"),
        ({"roi": "0% 0% 120% 50%"}, RegionOutOfBounds, "100 %"),
        ({"crop": True, "crop_margin": "60%"}, InvalidOption, "50 %"),
        ({"crop_margin": "10%"}, InvalidOption, "without `crop`"),
        ({"background": Background(color="blurple")}, InvalidOption, "blurple"),
        ({"background": Background(image="sky", blur=5)}, InvalidOption, "image and blur exclude"),
        ({"background": Background(gradient=options.Gradient(colors=("red", "rot")))}, InvalidOption, "'rot'"),
        ({"background": Background(image="sky", color="transparent")}, InvalidOption, "leave image out"),
        ({"background": Background(fit="tile")}, InvalidOption, r"background\.image"),
        ({"canvas": "large"}, InvalidOption, "1200x1600"),
        ({"scale": "1%"}, InvalidOption, "scale"),
        ({"position": "10px"}, InvalidOption, "position"),
        ({"perspective": Perspective(baseline="1 2 3")}, InvalidOption, "baseline"),
        ({"perspective": Perspective(baseline="0 50 50 50"), "scale": "50%"}, InvalidOption, "leave `scale`"),
        ({"shadow": Shadow(type="drop", color="dark")}, InvalidOption, r"shadow\.color"),
        ({"shadow": Shadow(type="cast", light="auto")}, InvalidOption, r"background\.image"),
        ({"shadow": Shadow(type="drop", depth=True)}, InvalidOption, "'cast'"),
        (
            {"shadow": Shadow(type="cast", depth=True), "perspective": Perspective(baseline="0 50 50 50")},
            InvalidOption,
            "does not go with `perspective`",
        ),
        ({"harmonise": "reinhard"}, InvalidOption, r"background\.image"),
    ],
)
def test_options_are_checked_before_any_work(options: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        parsed(**options)


def test_unreadable_colours_are_named_with_their_option() -> None:
    with pytest.raises(InvalidOption, match=r"background\.gradient: 'blurple'"):
        parsed(outputs=COMPOSITE, background=Background(gradient=options.Gradient(colors=("red", "blurple"))))
    with pytest.raises(InvalidOption, match=r"background\.color: 'blurple'"):
        parsed(outputs=COMPOSITE, background=Background(color="blurple"))


def test_transparent_is_no_colour() -> None:
    assert composed(outputs=COMPOSITE, background=GLASS).background.colour is None
    assert composed(outputs=COMPOSITE, background=Background(color="#010203")).background.colour == (1, 2, 3)


def test_a_name_stands_for_the_method_with_its_defaults() -> None:
    blurred = {"outputs": COMPOSITE, "background": Background(blur=10)}
    assert composed(**blurred).harmonise is None
    assert composed(**blurred, harmonise="histogram").harmonise == HarmoniseSpec(method="histogram")
    assert composed(**blurred, harmonise=Harmonise(strength=0.1)).harmonise == HarmoniseSpec(strength=0.1)
    assert parsed(matting="knn").matting == MattingSpec(method="knn")
    assert parsed(matting=options.Matting(erode=3)).matting == MattingSpec(erode=3)


@pytest.mark.parametrize("background", [Background(), Background(color="teal")])
def test_there_must_be_a_picture_to_adapt_to(background: Background) -> None:
    with pytest.raises(InvalidOption, match=r"background\.image"):
        parsed(outputs=COMPOSITE, harmonise="reinhard", background=background)
    parsed(outputs=COMPOSITE, background=background)


@pytest.mark.parametrize("background", [Background(image="beach"), Background(blur=10)])
def test_a_picture_is_enough(background: Background) -> None:
    parsed(outputs=COMPOSITE, harmonise=Harmonise(), background=background)


def test_a_type_alone_is_a_shadow() -> None:
    assert composed(outputs=COMPOSITE, shadow="cast").shadow == ShadowSpec(type="cast")
    shadow = composed(outputs=COMPOSITE, shadow=Shadow(type="drop", opacity=1)).shadow
    assert shadow == ShadowSpec(type="drop", opacity=1)
    assert composed(outputs=COMPOSITE).shadow is None


@pytest.mark.parametrize(
    ("shadow", "message"),
    [
        ({"type": "drop", "light": "auto"}, r"background\.image"),
        ({"type": "drop", "depth": True}, "'cast'"),
        ({"type": "cast", "color": "shade"}, "not a colour"),
    ],
)
def test_shadows_that_can_be_refused_without_the_photo(shadow: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=rf"shadow.*{message}"):
        parsed(outputs=COMPOSITE, shadow=Shadow(**shadow))


def test_shadows_that_make_sense_are_accepted() -> None:
    shadow = Shadow(type="cast", depth=True, light="auto", color="#123")
    parsed(outputs=COMPOSITE, shadow=shadow, background=Background(image="beach"))
    parsed(outputs=COMPOSITE, shadow=Shadow(type="contact"))


@pytest.mark.parametrize(
    ("output", "options", "expected"),
    [
        ("cutout", {}, "png"),
        ("mask", {}, "png"),
        ("composite", {}, "jpeg"),
        ("composite", {"background": GLASS}, "png"),
        ("composite", {"background": Background(color="transparent", blur=3)}, "jpeg"),
        ("overlay", {}, "jpeg"),
        ("background", {}, "jpeg"),
        ("layers", {}, "zip"),
        ("layers", {"format": "webp"}, "zip"),
        ("cutout", {"format": "webp"}, "webp"),
        ("cutout", {"format": "jpeg", "channels": "alpha"}, "jpeg"),
        ("cutout", {"format": "zip"}, "zip"),
        ("cutout", {"format": "zip", "channels": "alpha"}, "png"),
        ("mask", {"format": "zip"}, "png"),
        ("composite", {"format": "zip"}, "jpeg"),
    ],
)
def test_the_format_of_each_output(output: Any, options: dict[str, Any], expected: str) -> None:
    assert file_format(Request(image="a", **options), output) == expected


@pytest.mark.parametrize(
    ("output", "options"), [("cutout", {"format": "jpeg"}), ("composite", {"format": "jpeg", "background": GLASS})]
)
def test_jpeg_has_no_transparency(output: Any, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match="png or webp"):
        file_format(Request(image="a", **options), output)
    with pytest.raises(InvalidOption, match="png or webp"):
        parsed(outputs=(output,), **options)
    with pytest.raises(InvalidOption, match="--background white"):
        parsed(outputs=(output,), **options)


UNUSED: list[tuple[dict[str, Any], str]] = [
    ({"outputs": ("mask",), "channels": "alpha"}, "channels changes only output 'cutout'"),
    ({"outputs": ("overlay",), "scale": "50%"}, "scale changes only output 'composite' or 'cutout' or 'layers' or"),
    ({"outputs": ("overlay",), "position": "center"}, "position changes only"),
    ({"outputs": ("background",), "canvas": "50x50"}, "canvas changes only"),
    ({"outputs": ("background",), "perspective": Perspective(baseline="0 5 5 5")}, "perspective changes only"),
    ({"outputs": ("mask", "overlay"), "decontaminate": True}, "decontaminate changes only"),
    ({"outputs": ("cutout", "mask"), "channels": "alpha", "decontaminate": True}, "decontaminate changes only"),
    ({"background": Background(color="red")}, "background changes only output 'composite' or 'layers'"),
    ({"shadow": "drop"}, "shadow changes only output 'composite' or 'layers'"),
    ({"background": Background(blur=3), "harmonise": "reinhard", "outputs": ("mask",)}, "changes only"),
    ({"inpaint": "navier_stokes"}, "inpaint changes only output 'background'"),
    ({"outputs": ("mask", "composite"), "format": "zip"}, "'zip' is for output 'cutout'"),
    ({"channels": "alpha", "format": "zip"}, "'zip' is for output 'cutout'"),
]


@pytest.mark.parametrize(("fields", "message"), UNUSED, ids=str)
def test_options_that_no_output_shows_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        parsed(**fields)
    parsed(**{**fields, "channels": "rgba", "outputs": ("cutout", "composite", "background")})


def test_explicit_refinement_has_the_fields_and_defaults_of_a_request() -> None:
    assert msgspec.structs.asdict(RefineParameters()) == dataclasses.asdict(Refinement())


@pytest.mark.parametrize("refinement", PRESETS.values(), ids=PRESETS)
def test_presets_can_be_written_as_explicit_parameters(refinement: Refinement) -> None:
    assert refinement_of(parameters_of(refinement)) == refinement


def test_presets_of_the_deployment_are_known_by_name() -> None:
    ours = {**PRESETS, "ours": Refinement(open=2)}
    assert parse_recipe(Request(image="a", refine="ours"), ours).refinement == Refinement(open=2)

from __future__ import annotations

import json
from typing import Any

import pytest

from cutstream.contract.messages import decode_request
from cutstream.contract.recipe import parse_recipe
from producer.gateway.errors import CallRefused
from producer.gateway.removebg_options import check_sources, check_url, parse_options


def fields(**values: Any) -> dict[str, Any]:
    """Return the fields of a call, which a worker has to accept."""
    found = dict(parse_options(values).fields)
    parse_recipe(decode_request(json.dumps({"image": "https://example.org/a.jpg", **found}).encode()))
    return found


def refusal(**values: Any) -> str:
    with pytest.raises(CallRefused) as caught:
        parse_options(values)
    assert caught.value.status == 400
    return caught.value.error_code


def test_without_parameters_it_is_a_small_cutout_with_its_edges_corrected() -> None:
    assert fields() == {
        "size": "preview",
        "format": "auto",
        "crop": False,
        "outputs": ["cutout"],
        "decontaminate": True,
    }


@pytest.mark.parametrize(
    ("sent", "size"),
    [
        ("small", "preview"),
        ("regular", "preview"),
        ("medium", "medium"),
        ("hd", "hd"),
        ("4k", "full"),
        ("50MP", "full"),
    ],
)
def test_sizes_have_several_names(sent: str, size: str) -> None:
    assert fields(size=sent)["size"] == size


@pytest.mark.parametrize(
    ("values", "outputs", "background", "format"),
    [
        ({"bg_color": "81d4fa"}, ["composite"], {"color": "#81d4fa"}, "auto"),
        ({"bg_color": "#FFF"}, ["composite"], {"color": "#FFFFFF"}, "auto"),
        ({"bg_color": "81d4faff"}, ["composite"], {"color": "#81d4fa"}, "auto"),
        ({"bg_color": "green"}, ["composite"], {"color": "green"}, "auto"),
        ({"bg_color": "fff0"}, ["cutout"], None, "auto"),
        ({"bg_image_url": "https://a.example/b.jpg"}, ["composite"], {"image": "https://a.example/b.jpg"}, "auto"),
        ({"format": "jpg"}, ["composite"], None, "jpeg"),
        ({"format": "zip"}, ["cutout"], None, "zip"),
        ({"channels": "alpha", "bg_color": "fff"}, ["cutout"], None, "auto"),
        ({"add_shadow": True}, ["composite"], {"color": "transparent"}, "auto"),
        ({"shadow_type": "drop", "format": "jpg"}, ["composite"], None, "jpeg"),
    ],
)
def test_the_output_follows_from_background_shadow_and_format(
    values: dict, outputs: list, background: dict | None, format: str
) -> None:
    found = fields(**values)
    assert (found["outputs"], found.get("background"), found["format"]) == (outputs, background, format)


def test_shadows_have_a_type_and_an_opacity() -> None:
    assert fields(shadow_type="3D", shadow_opacity=80, bg_color="fff")["shadow"] == {"type": "cast", "opacity": 0.8}
    assert "shadow" not in fields(shadow_type="none", add_shadow="true", bg_color="fff")


def test_the_subject_is_centred_if_it_is_scaled() -> None:
    assert fields(scale="80%")["position"] == "center"
    assert fields(scale="80%", position="10% 20%")["position"] == "10% 20%"
    assert fields(scale="80%", position="original")["position"] == "original"
    assert "scale" not in fields(scale="original", position="original")


def test_a_margin_counts_with_a_crop_only() -> None:
    assert fields(crop="true", crop_margin="10% 20px")["crop_margin"] == "10% 20px"
    assert "crop_margin" not in fields(crop="false", crop_margin="10%")


def test_a_region_of_the_whole_photo_is_none() -> None:
    assert "roi" not in fields(roi="0% 0% 100% 100%")
    assert fields(roi="10px 20px 300px 400px")["roi"] == "10px 20px 300px 400px"


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"size": "huge"}, "invalid_size"),
        ({"type": "unicorn"}, "invalid_type"),
        ({"type_level": "3"}, "invalid_type_level"),
        ({"format": "bmp"}, "invalid_format"),
        ({"format": "zip", "bg_color": "fff"}, "invalid_format"),
        ({"format": "zip", "channels": "alpha"}, "invalid_format"),
        ({"crop": "perhaps"}, "invalid_crop"),
        ({"crop_margin": "60%"}, "invalid_crop_margin"),
        ({"scale": "5%"}, "invalid_scale"),
        ({"position": "left"}, "invalid_position"),
        ({"channels": "rgb"}, "invalid_channels"),
        ({"bg_color": "81d4fa77"}, "invalid_bg_color"),
        ({"bg_color": "nocolour"}, "invalid_bg_color"),
        ({"bg_image_url": "file:///etc/passwd"}, "invalid_bg_image_url"),
        ({"bg_color": "fff", "bg_image_url": "https://a.example/"}, "multiple_bg_sources"),
        ({"roi": "0 0 10"}, "invalid_roi"),
        ({"roi": "50% 50% 10% 10%"}, "roi_region_empty"),
        ({"roi": "0% 0% 200% 100%"}, "roi_exceeds_bounds"),
        ({"semitransparency": "some"}, "invalid_semitransparency"),
        ({"shadow_type": "blob"}, "invalid_shadow_type"),
        ({"shadow_opacity": "200"}, "invalid_shadow_opacity"),
        ({"shadow_opacity": "nan"}, "invalid_shadow_opacity"),
        ({"size": ["full"]}, "invalid_size"),
    ],
)
def test_what_makes_no_sense_has_a_code_of_its_own(values: dict, code: str) -> None:
    assert refusal(**values) == code


def test_empty_and_unknown_parameters_are_ignored() -> None:
    assert fields(bg_color="", scale=None, unknown="x", type="") == fields()


def test_a_background_file_excludes_the_others() -> None:
    assert parse_options({}, has_background_file=True).fields["outputs"] == ["composite"]
    with pytest.raises(CallRefused) as caught:
        parse_options({"bg_color": "fff"}, has_background_file=True)
    assert caught.value.error_code == "multiple_bg_sources"


def test_there_is_exactly_one_source() -> None:
    assert check_sources({"image_url": "https://a.example/"}, {}) == "image_url"
    assert check_sources({"image_url": ""}, {"image_file": ["upload"]}) == "image_file"
    for values, files, code in (
        ({}, {"image_file": []}, "missing_source"),
        ({"image_url": "a", "image_file_b64": "b"}, {}, "multiple_sources"),
        ({"image_url": "a"}, {"image_file": ["upload"]}, "multiple_sources"),
    ):
        with pytest.raises(CallRefused) as caught:
            check_sources(values, files)
        assert caught.value.error_code == code


@pytest.mark.parametrize(
    "url",
    ["", "example.org/a.jpg", "file:///etc/passwd", "s3://b/k", "ftp://a/b", "https://", 7, "https://" + "a" * 5000],
)
def test_only_addresses_of_the_web_are_taken(url: object) -> None:
    with pytest.raises(CallRefused) as caught:
        check_url("image_url", url)
    assert caught.value.error_code == "invalid_image_url"

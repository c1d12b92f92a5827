from __future__ import annotations

import json
from typing import Any

import pytest

from cutstream.contract.messages import decode_request
from cutstream.contract.recipe import parse_recipe
from producer.gateway.errors import CallRefused
from producer.gateway.profiles import Profiles
from producer.gateway.rembg import error_body, parse_options

PROFILES = Profiles(("fast", "general", "precise"), {"sam": "precise"})


def fields(**values: Any) -> dict[str, Any]:
    found = parse_options(values, PROFILES)
    parse_recipe(decode_request(json.dumps({"image": "https://example.org/a.jpg", **found}).encode()))
    return found


def test_without_parameters_it_is_a_png_of_the_model_u2net() -> None:
    assert fields() == {"format": "png", "profile": "general", "outputs": ["cutout"]}


@pytest.mark.parametrize(
    ("model", "profile"),
    [
        ("isnet-general-use", "precise"),
        ("u2net_human_seg", None),
        ("precise", "precise"),
        ("auto", "auto"),
        ("sam", "precise"),
    ],
)
def test_a_model_stands_for_the_best_served_profile(model: str, profile: str | None) -> None:
    assert fields(model=model).get("profile") == profile


def test_options_of_matting_mask_and_background() -> None:
    assert fields(om="true")["outputs"] == ["mask"]
    assert fields(a="1", ae="15")["matting"] == {"method": "fast", "erode": 15, "dilate": 15}
    assert fields(ppm="true")["refine"]["threshold"] == 127
    assert fields(bgc="255, 0,16,255")["background"] == {"color": "#ff0010"}
    assert fields(bgc="1,2,3")["background"] == {"color": "#010203"}
    assert fields(bgc="1,2,3,0")["outputs"] == ["cutout"]
    assert fields(om="true", bgc="1,2,3,255")["outputs"] == ["mask"]


@pytest.mark.parametrize(
    "values",
    [
        {"model": "nobody's"},
        {"a": "perhaps"},
        {"af": "256"},
        {"ab": "-1"},
        {"ae": "x"},
        {"bgc": "red"},
        {"bgc": "1,2"},
        {"bgc": "1,2,3,100"},
    ],
)
def test_wrong_parameters_are_refused_as_fastapi_does(values: dict) -> None:
    with pytest.raises(CallRefused) as caught:
        parse_options(values, PROFILES)
    assert caught.value.status == 422
    (detail,) = error_body(caught.value)["detail"]
    assert detail["loc"] == ["query", next(iter(values))]


def test_other_errors_are_a_text() -> None:
    assert error_body(CallRefused(429, "rate_limit_exceeded", "Too many")) == {"detail": "Too many"}

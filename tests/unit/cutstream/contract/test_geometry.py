from __future__ import annotations

from typing import Any

import pytest

from cutstream.contract.geometry import (
    parse_baseline,
    parse_canvas,
    parse_horizon,
    parse_margin,
    parse_position,
    parse_region,
    parse_scale,
)
from cutstream.errors import InvalidOption, RegionOutOfBounds
from cutstream.images.geometry import Box, limited_size


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("10 20 30 40", (10, 20, 30, 40)),
        ("10px 20px 30px 40px", (10, 20, 30, 40)),
        ("0% 0% 100% 100%", (0, 0, 200, 101)),
        ("50% 10 100% 60.5", (100, 10, 200, 61)),
    ],
)
def test_region_in_pixels_and_percent(text: str, box: tuple[int, ...]) -> None:
    assert parse_region(text).on(200, 101) == box


@pytest.mark.parametrize("text", ["", "1 2 3", "1 2 3 4 5", "1 2 3 x", "-1 0 5 5", "1,2,3,4", "1e3 0 1 1", "nan 0 1 1"])
def test_an_unreadable_region_says_what_to_write(text: str) -> None:
    with pytest.raises(InvalidOption, match=r"roi.*(px or %|30px)"):
        parse_region(text)


def test_region_beyond_the_image() -> None:
    with pytest.raises(RegionOutOfBounds, match=r"\(201, 50\).*200×100"):
        parse_region("0 0 201 50").on(200, 100)
    with pytest.raises(RegionOutOfBounds, match="100 %"):
        parse_region("0 0 101% 50")


@pytest.mark.parametrize("text", ["30 0 30 10", "30 0 20 10", "0% 0% 0.1% 100%"])
def test_empty_region(text: str) -> None:
    with pytest.raises(InvalidOption, match="empty"):
        parse_region(text).on(200, 100)


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (
            parse_canvas,
            "100000x100000",
            "canvas: '100000x100000' has 10,000,000,000 pixels; 1 to 50,000,000 are possible",
        ),
        (parse_canvas, "0x5", "has 0 pixels; 1 to 50,000,000"),
        (parse_canvas, "50000001x1", "has 50,000,001 pixels; 1 to 50,000,000"),
        (parse_canvas, "9" * 49 + "x" + "9" * 49, "has far too many pixels; 1 to 50,000,000"),
        (parse_region, "1000000 0 1 1", "roi: '1000000' is above the limit of 999,999"),
        (parse_region, "0 0 " + "9" * 90 + "% 1", "is above the limit of 999,999"),
        (parse_region, "0 0 150% 1", "roi: '0 0 150% 1' goes beyond 100 %"),
        (parse_margin, "1000000", "crop_margin: '1000000' is above the limit of 999,999"),
        (parse_margin, "501px", "above 50 % or 500 px"),
        (parse_scale, "5%", "neither `original` nor 10 % to 100 %"),
        (parse_scale, "1000000%", "scale: '1000000%' is above the limit of 999,999"),
        (parse_position, "101%", "1 or 2 values of 0 % to 100 %"),
        (parse_baseline, "0 0 1000000 0", "perspective.baseline: '1000000' is above the limit of 999,999"),
        (parse_horizon, "1000000", "perspective.horizon: '1000000' is above the limit of 999,999"),
    ],
)
def test_a_number_out_of_range_names_the_option_and_the_limit(parse: Any, text: str, message: str) -> None:
    with pytest.raises((InvalidOption, RegionOutOfBounds)) as refused:
        parse(text)
    assert message in str(refused.value)
    assert parse.__name__.removeprefix("parse_").replace("region", "roi") in str(refused.value)


@pytest.mark.parametrize("text", ["١٢x١٢", "1200X1600", "1200 x 1600", "12.5x3", "1200", "x", "-5x5"])
def test_an_unreadable_canvas_says_what_to_write(text: str) -> None:
    with pytest.raises(InvalidOption, match="is not a size; write for instance `1200x1600`"):
        parse_canvas(text)


def test_many_decimals_are_a_length() -> None:
    assert parse_region("0.3333333333% 0 5 5").on(1000, 10) == (3, 0, 5, 5)


SUBJECT = Box(100, 50, 140, 150)


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("0", (100, 50, 140, 150)),
        ("5", (95, 45, 145, 155)),
        ("10%", (96, 40, 144, 160)),
        ("10px 5px", (95, 40, 145, 160)),
        ("1 2 3 4", (96, 49, 142, 153)),
        ("500", (0, 0, 300, 200)),
    ],
)
def test_margin_in_css_order_within_the_image(text: str, box: tuple[int, ...]) -> None:
    assert parse_margin(text).around(SUBJECT, 300, 200) == box


@pytest.mark.parametrize(
    ("text", "message"), [("1 2 3", "1, 2 or 4"), ("501", "500 px"), ("51%", "50 %"), ("a", "30px"), ("", "1, 2 or 4")]
)
def test_an_unreadable_margin_says_what_to_write(text: str, message: str) -> None:
    with pytest.raises(InvalidOption, match=f"crop_margin.*{message}"):
        parse_margin(text)


@pytest.mark.parametrize(
    ("size", "most", "expected"),
    [
        ((1500, 1000), None, (1500, 1000)),
        ((500, 500), 250_000, (500, 500)),
        ((2000, 1000), 500_000, (1000, 500)),
        ((1_000_000, 1), 250_000, (250_000, 1)),
        ((1, 1_000_000), 250_000, (1, 250_000)),
    ],
)
def test_limited_size(size: tuple[int, int], most: int | None, expected: tuple[int, int]) -> None:
    assert limited_size(*size, most) == expected

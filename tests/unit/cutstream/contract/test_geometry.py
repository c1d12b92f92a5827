from __future__ import annotations

import pytest

from cutstream.contract.geometry import parse_margin, parse_region
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

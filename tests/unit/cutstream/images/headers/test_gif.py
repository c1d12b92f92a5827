from __future__ import annotations

import struct

import pytest

from cutstream.errors import UnreadableImage
from cutstream.images.header import Header, read_header

MAX_PIXELS = 50_000_000
CONTROL = b"\x21\xf9\4\1\0\0\0\0"


def picture(width: int = 50, height: int = 40, left: int = 0, top: int = 0, *, table: bool = False) -> bytes:
    start = b"," + struct.pack("<HHHHB", left, top, width, height, 0x80 if table else 0)
    return start + bytes(6 if table else 0) + b"\2" + b"\3abc" + b"\2de" + b"\0"


def gif(*parts: bytes, screen: tuple[int, int] = (50, 40)) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + bytes(6) + b"".join(parts) + b";"


def read(data: bytes) -> Header:
    return read_header(data, MAX_PIXELS)


@pytest.mark.parametrize(
    ("screen", "frame", "size"),
    [
        ((50, 40), (50, 40, 0, 0), (50, 40)),
        ((50, 40), (5, 4, 0, 0), (50, 40)),
        ((50, 40), (50, 40, 5, 6), (55, 46)),
        ((50, 40), (80, 20, 0, 0), (80, 40)),
        ((640, 480), (50, 40, 0, 0), (640, 480)),
        ((0, 0), (50, 40, 0, 0), (50, 40)),
        ((3000, 30), (50, 40, 1, 2), (3000, 42)),
    ],
)
def test_the_canvas_is_the_screen_and_holds_the_picture(
    screen: tuple[int, int], frame: tuple[int, int, int, int], size: tuple[int, int]
) -> None:
    header = read(gif(picture(*frame), screen=screen))
    assert (header.width, header.height) == size


def test_a_transparent_colour_is_a_channel() -> None:
    assert read(gif(picture())).channels == 3
    assert read(gif(CONTROL, picture())).channels == 4


def test_several_pictures_count_as_two() -> None:
    comment = b"\x21\xfe\5hello\0"
    assert read(gif(comment, picture(), comment)).pictures == 1
    assert read(gif(picture(table=True), comment, CONTROL, *[picture()] * 5)).pictures == 2


def test_data_cut_off_behind_the_first_picture_does_not_cost_it() -> None:
    assert read(gif(picture())[:-3]).pictures == 1


@pytest.mark.parametrize("parts", [(), (b"\x00",), (picture(0, 0),)])
def test_a_gif_without_a_picture_is_damaged(parts: tuple[bytes, ...]) -> None:
    with pytest.raises(UnreadableImage, match=r"gif header .*(no picture|0×0)"):
        read(gif(*parts))

from __future__ import annotations

import struct

import pytest

from cutstream.errors import UnreadableImage, UnsupportedImage
from cutstream.images.header import CodePoints, Header, read_header
from cutstream.images.headers.png import MAX_CHUNKS
from tests.support.pictures.png import chunk

MAX_PIXELS = 50_000_000
SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXELS = chunk(b"IDAT", b"")
PALETTE = chunk(b"PLTE", bytes(6))


def png(*chunks: bytes, bits: int = 8, colour_type: int = 2, interlace: int = 0) -> bytes:
    start = chunk(b"IHDR", struct.pack(">IIBBBBB", 50, 40, bits, colour_type, 0, 0, interlace))
    return SIGNATURE + start + b"".join(chunks) + PIXELS + chunk(b"IEND", b"")


def read(data: bytes) -> Header:
    return read_header(data, MAX_PIXELS)


@pytest.mark.parametrize(
    ("colour_type", "bits", "channels"),
    [(0, 1, 1), (0, 2, 1), (0, 4, 1), (0, 16, 1), (2, 8, 3), (2, 16, 3), (4, 8, 2), (4, 16, 2), (6, 8, 4), (6, 16, 4)],
)
def test_colour_types_and_depths(colour_type: int, bits: int, channels: int) -> None:
    header = read(png(colour_type=colour_type, bits=bits))
    assert (header.bits, header.channels, header.progressive) == (bits, channels, False)


def test_a_palette_counts_as_its_colours() -> None:
    assert read(png(PALETTE, colour_type=3, bits=4)).channels == 3
    assert read(png(PALETTE, chunk(b"tRNS", b"\0"), colour_type=3, bits=4)).channels == 4


def test_a_transparent_colour_is_a_channel() -> None:
    assert read(png(chunk(b"tRNS", bytes(2)), colour_type=0)).channels == 2
    assert read(png(chunk(b"tRNS", bytes(6)))).channels == 4


def test_a_palette_that_is_missing_is_damage() -> None:
    with pytest.raises(UnreadableImage, match="its palette is missing"):
        read(png(colour_type=3))


@pytest.mark.parametrize(("colour_type", "bits"), [(1, 8), (2, 4), (3, 16), (6, 1), (0, 3), (7, 8)])
def test_depths_that_do_not_exist_are_damage(colour_type: int, bits: int) -> None:
    with pytest.raises(UnreadableImage, match=f"colour type {colour_type} of {bits} bits does not exist"):
        read(png(colour_type=colour_type, bits=bits))


def test_interlaced() -> None:
    assert read(png(interlace=1)).progressive


def test_code_points() -> None:
    assert read(png(chunk(b"cICP", bytes([12, 13, 0, 1])))).colour == CodePoints(12, 13, 0, True)
    assert read(png(chunk(b"cICP", bytes([12, 13])))).colour is None
    assert read(png()).colour is None


def test_frames() -> None:
    frames, control = chunk(b"acTL", struct.pack(">II", 3, 0)), chunk(b"fcTL", bytes(26))
    assert read(png(frames, control)).pictures == 3
    assert read(png(frames)).pictures == 4  # the default picture is not one of the frames
    assert read(png(chunk(b"acTL", struct.pack(">II", 1, 0)), control)).pictures == 1


def test_absurdly_many_descriptions_do_not_cost_the_picture() -> None:
    header = read(png(chunk(b"tEXt", b"a\0b") * 2 * MAX_CHUNKS))
    assert (header.width, header.height, header.pictures) == (50, 40, 1)


def test_a_chunk_longer_than_the_file_does_not_cost_the_header() -> None:
    assert read(png(struct.pack(">I", 2**31 - 1) + b"tEXt")).width == 50


def test_the_files_inside_iphone_apps_are_called_so() -> None:
    with pytest.raises(UnsupportedImage, match="CgBI"):
        read(SIGNATURE + chunk(b"CgBI", bytes(4)) + png()[8:])

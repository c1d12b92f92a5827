"""AVIF and HEIC state their resolution in EXIF alone, whose orientation counts for nothing there."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from cutstream.images import Image
from cutstream.images.decode import decode
from cutstream.images.header import read_header
from tests.support.pictures.avif import avif
from tests.support.pictures.heic import heic
from tests.support.pictures.heif_boxes import with_property
from tests.support.pictures.truth import photo

FORMATS = pytest.mark.parametrize("write", [avif, heic])
TURNED, MIRRORED = struct.pack(">I4sB", 9, b"irot", 1), struct.pack(">I4sB", 9, b"imir", 1)


def exif(x: tuple[int, int], y: tuple[int, int], order: str = "<", unit: int = 2) -> bytes:
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 3)
    tags = struct.pack(order + "HHIIHHII", 0x11A, 5, 1, 50, 0x11B, 5, 1, 58)
    tags += struct.pack(order + "HHIHH", 0x128, 3, 1, unit, 0)
    return head + tags + struct.pack(order + "I4I", 0, *x, *y)


def read(data: bytes) -> Image:
    return decode(data, read_header(data, 50_000_000))


@FORMATS
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
def test_the_resolution_is_read(write: Callable[..., bytes], order: str, prefix: bytes) -> None:
    image = read(write(photo(), exif=prefix + exif((300, 1), (1500, 10), order)))
    assert image.dpi == (300, 150)
    assert image.warnings == ()


@FORMATS
def test_dots_per_centimetre(write: Callable[..., bytes]) -> None:
    assert read(write(photo(), exif=exif((100, 1), (100, 1), unit=3))).dpi == (254, 254)


@FORMATS
@pytest.mark.parametrize("properties", [[TURNED], [TURNED, MIRRORED]])
def test_the_resolution_turns_with_the_picture(write: Callable[..., bytes], properties: list[bytes]) -> None:
    data = write(photo(), exif=exif((300, 1), (150, 1)))
    for each in properties:
        data = with_property(data, each, last=True)
    image = read(data)
    assert (image.width, image.dpi) == (photo().shape[0], (150, 300))


@FORMATS
@pytest.mark.parametrize(("value", "warnings"), [((0, 0), 0), ((0, 1), 0), ((300, 0), 1), ((70_000, 1), 1)])
def test_a_resolution_that_is_none(write: Callable[..., bytes], value: tuple[int, int], warnings: int) -> None:
    image = read(write(photo(), exif=exif(value, value)))
    assert image.dpi is None
    assert [warning.code for warning in image.warnings] == ["unusable_metadata"] * warnings


@FORMATS
@pytest.mark.parametrize("change", [lambda block: b"\0" * 40, lambda block: b"MM\0*" + b"\xff" * (len(block) - 4)])
def test_damaged_exif_costs_no_picture(write: Callable[..., bytes], change: Any) -> None:
    block = exif((300, 1), (300, 1))
    image = read(write(photo(), exif=block).replace(block, change(block).ljust(len(block), b"\0")))
    assert image.dpi is None
    assert [warning.code for warning in image.warnings] == ["unusable_metadata"]


@FORMATS
def test_a_picture_without_exif_has_no_resolution(write: Callable[..., bytes]) -> None:
    image = read(write(photo()))
    assert (image.dpi, image.warnings) == (None, ())

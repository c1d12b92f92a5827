from __future__ import annotations

import struct

import pytest

from cutstream.errors import UnreadableImage, UnsupportedImage
from cutstream.images.header import Header, read_header
from cutstream.images.headers.jpeg2000 import SIGNATURE

MAX_PIXELS = 50_000_000


def codestream(
    size: tuple[int, int] = (50, 40), offset: tuple[int, int] = (0, 0), tile: int = 512, depths: bytes = b"\7\7\7"
) -> bytes:
    grid = struct.pack(">8I", size[0] + offset[0], size[1] + offset[1], *offset, tile, tile, 0, 0)
    components = struct.pack(">H", len(depths)) + b"".join(bytes([depth, 1, 1]) for depth in depths)
    return b"\xff\x4f\xff\x51\0\x2f\0\0" + grid + components


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def boxed(stream: bytes, brand: bytes = b"jp2 ") -> bytes:
    return (
        SIGNATURE + box(b"ftyp", brand + bytes(4)) + box(b"uuid", bytes(30)) + struct.pack(">I", 0) + b"jp2c" + stream
    )


def read(data: bytes) -> Header:
    return read_header(data, MAX_PIXELS)


@pytest.mark.parametrize("wrap", [bytes, boxed])
@pytest.mark.parametrize(("depths", "bits"), [(b"\7", 8), (b"\7\7", 8), (b"\x0f\x0f\x0f", 16), (b"\7\7\7\0", 8)])
def test_depths_and_channels(wrap: type[bytes], depths: bytes, bits: int) -> None:
    header = read(wrap(codestream(depths=depths)))
    assert (header.width, header.height, header.bits, header.channels) == (50, 40, bits, len(depths))


def test_the_offset_on_the_grid_is_not_part_of_the_picture() -> None:
    header = read(codestream(offset=(7, 9)))
    assert (header.width, header.height) == (50, 40)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (codestream(depths=b"\7" * 5), "5 components"),
        (codestream(depths=b"\x1f"), "32 bits per sample"),
        (boxed(codestream(), b"mjp2"), "video"),
        (boxed(codestream(), b"jpm "), "compound document"),
    ],
)
def test_varieties_that_are_not_read_are_no_damage(data: bytes, message: str) -> None:
    with pytest.raises(UnsupportedImage, match=message):
        read(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (codestream((500, 400), tile=1), "200,000 tiles takes too long"),
        (codestream(tile=0), "no size"),
        (codestream(depths=b""), "no size"),
        (codestream()[:30], "too early"),
        (boxed(codestream())[:40], "no codestream"),
        (SIGNATURE + box(b"free", b"") * 2000, "more than 1,000 boxes"),
        (SIGNATURE + struct.pack(">I", 5) + b"free", "a box of 5 bytes"),
    ],
)
def test_damage(data: bytes, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        read(data)

"""The sequence header of AV1, written bit by bit (AV1 specification, section 5.5)."""

from __future__ import annotations

import struct

import pytest
from PIL import Image as Pillow

from cutstream.errors import UnreadableImage
from cutstream.images.header import read_header
from cutstream.images.headers.av1 import MAX_OBUS, coded_size
from tests.support.pictures.avif import avif
from tests.support.pictures.truth import photo

DELIMITER = b"\x12\0"


def bits(*fields: tuple[int, int]) -> bytes:
    """Return fields of (value, bits), padded to whole bytes."""
    text = "".join(f"{value:0{count}b}" for value, count in fields) + "0" * 7
    return bytes(int(text[at : at + 8], 2) for at in range(0, len(text) - 7, 8))


def obu(body: bytes, kind: int = 1, *, extended: bool = False, sized: bool = True) -> bytes:
    head = bytes([kind << 3 | extended << 2 | sized << 1]) + b"\0" * extended
    return head + (bytes([len(body) & 0x7F | 0x80, len(body) >> 7]) if sized else b"") + body


SIZE = ((9, 4), (8, 4), (639, 10), (359, 9))  # 640×360
STILL = bits((0, 3), (1, 1), (1, 1), (8, 5), *SIZE)
PLAIN = bits((0, 5), (0, 1), (0, 1), (0, 5), (0, 12), (4, 5), *SIZE)
TIMED = bits(
    (0, 5), (1, 1), (1, 32), (25, 32), (1, 1), (0b00101, 5), (0, 1), (0, 1), (0, 5), (0, 12), (9, 5), (1, 1), *SIZE
)
MODEL = ((1, 1), (1, 32), (25, 32), (0, 1), (1, 1), (3, 5), (1, 32), (0, 10))
POINT = ((0, 12), (9, 5), (1, 1), (1, 1), (0, 9), (1, 1), (7, 4))
MODELLED = bits((0, 5), *MODEL, (1, 1), (1, 5), *POINT, *POINT, *SIZE)


@pytest.mark.parametrize("body", [STILL, PLAIN, TIMED, MODELLED], ids=["still", "plain", "timed", "modelled"])
@pytest.mark.parametrize("extended", [False, True])
def test_the_size_is_found_behind_everything_that_may_come_before_it(body: bytes, extended: bool) -> None:
    header = obu(body, extended=extended)
    for before in (b"", DELIMITER, DELIMITER + obu(bytes(300), kind=15)):
        assert coded_size(before + header) == (640, 360)
    assert coded_size(DELIMITER + obu(body, sized=False)) == (640, 360)


def test_data_without_a_sequence_header_are_refused() -> None:
    with pytest.raises(ValueError, match="do not begin with those of AV1"):
        coded_size(DELIMITER * MAX_OBUS + obu(STILL))
    with pytest.raises(IndexError):
        coded_size(DELIMITER)


@pytest.mark.parametrize("sides", [(7000, 7000), (60, 43), (61, 44)])
def test_a_sequence_of_another_size_than_it_states_is_refused(sides: tuple[int, int]) -> None:
    file = avif(photo(), save_all=True, append_images=[Pillow.fromarray(255 - photo())])
    assert read_header(file, 50_000_000).pictures == 2
    at = file.index(b"av01", file.index(b"stsd")) + 28
    changed = file[:at] + struct.pack(">HH", *sides) + file[at + 4 :]
    with pytest.raises(UnreadableImage, match="it holds a picture of 61×43, and states"):
        read_header(changed, 50_000_000)

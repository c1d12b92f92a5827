from __future__ import annotations

import struct

import pytest

from cutstream.errors import UnreadableImage
from cutstream.images.decode import decode
from cutstream.images.header import read_header
from tests.support.pictures.heic import heic
from tests.support.pictures.truth import photo


@pytest.mark.parametrize("offset", [-18, 18, -60, 400])
def test_a_crop_beyond_the_picture_is_refused(offset: int) -> None:
    """libheif then returns fewer rows than it stated, or more."""
    file = heic(photo(61, 43))  # HEVC has even sides only, so the encoder states a crop
    at = file.index(b"clap") + 4
    crop = [*struct.unpack_from(">8i", file, at)]
    crop[6] = offset * crop[7]
    moved = file[:at] + struct.pack(">8i", *crop) + file[at + 32 :]
    with pytest.raises(UnreadableImage):
        decode(moved, read_header(moved, 1_000_000))

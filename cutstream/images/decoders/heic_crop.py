"""Crop HEIC here where libheif cannot.

libheif 1.23 allows a coded picture 64 pixels more on each side than the *cropped* one, so it refuses those that keep
less. Their `clap` is overwritten with one that keeps all, and the picture is cropped once libheif has turned it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from cutstream.images.decoders.failures import NotSupported
from cutstream.images.header import Header
from cutstream.images.headers.boxes import Box, boxes
from cutstream.images.headers.heif import MAX_BOXES
from cutstream.images.headers.heif_properties import is_in_order
from cutstream.images.headers.items import read_items
from cutstream.images.headers.reading import Steps

_ALLOWED = 64
_CLAP = struct.Struct(">IIIIiIiI")


@dataclass(frozen=True)
class Window:
    """The part of a picture of `whole_width` × `whole_height` that is shown."""

    whole_width: int
    whole_height: int
    left: int
    top: int
    width: int
    height: int

    @property
    def rows(self) -> slice:
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        return slice(self.left, self.left + self.width)

    def turned_left(self) -> Window:
        """Return the window after a turn by 90 degrees, anticlockwise."""
        top = self.whole_width - self.left - self.width
        return Window(self.whole_height, self.whole_width, self.top, top, self.height, self.width)

    def mirrored(self, top_to_bottom: bool) -> Window:
        left, top = self.left, self.top
        if top_to_bottom:
            top = self.whole_height - top - self.height
        else:
            left = self.whole_width - left - self.width
        return Window(self.whole_width, self.whole_height, left, top, self.width, self.height)


def take_over(data: bytes, header: Header) -> tuple[bytes, Window | None]:
    """Return the file without its crop, and the window to cut out; the file as it is if libheif can crop it.

    Raises `NotSupported` for a crop that comes after a turn, or differs between picture and alpha.
    """
    crop = header.crop
    if crop is None:
        return data, None
    if (header.width + _ALLOWED) * (header.height + _ALLOWED) >= (crop.coded_width + 8) * (crop.coded_height + 8):
        return data, None
    steps = Steps(MAX_BOXES, "boxes")
    meta = next((box for box in boxes(data, 0, len(data), steps) if box.kind == b"meta"), None)
    if meta is None:
        return data, None
    items = read_items(data, meta, steps)
    properties = items.of(items.primary)
    crops = [box for box in items.properties if box.kind == b"clap"]
    same = len({data[box.start : box.start + _CLAP.size] for box in crops}) == 1
    if not same or not is_in_order(data, properties):
        raise NotSupported("a crop that is not the first step to the picture is not supported: save it again")
    whole = bytearray(data)
    for box in crops:
        _CLAP.pack_into(whole, box.start, crop.coded_width, 1, crop.coded_height, 1, 0, 1, 0, 1)
    window = Window(crop.coded_width, crop.coded_height, crop.left, crop.top, header.width, header.height)
    return bytes(whole), _turned(data, window, properties)


def _turned(data: bytes, window: Window, properties: list[Box]) -> Window:
    for box in properties:
        if box.kind == b"irot":
            for _ in range(data[box.start] & 3):
                window = window.turned_left()
        elif box.kind == b"imir":
            window = window.mirrored(top_to_bottom=not data[box.start] & 1)
    return window

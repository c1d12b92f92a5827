"""Decode the first frame of a GIF with Pillow, which refuses a frame whose rows are not all there.

The frame is handed over as a GIF of its own, so that damage after it costs nothing. Its palette, its transparent
colour and its place on the canvas are dealt with here (GIF89a).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from PIL.GifImagePlugin import GifImageFile

from cutstream.images import Matte, Pixels
from cutstream.images.decoders.failures import Undecodable
from cutstream.images.decoders.palette import apply_palette
from cutstream.images.decoders.pillow import open_samples
from cutstream.images.decoders.raster import Description, Model, Raster
from cutstream.images.header import Header

EXTENSION, IMAGE, GRAPHIC_CONTROL = 0x21, 0x2C, 0xF9
HAS_PALETTE, INTERLACED, HAS_TRANSPARENCY = 0x80, 0x40, 1


@dataclass(frozen=True)
class _Frame:
    left: int
    top: int
    width: int
    height: int
    interlaced: int
    palette: bytes
    transparent: int | None
    code: bytes  # the size of the first codes and the blocks of data


def read(data: bytes, header: Header) -> Raster:
    """Decode one GIF. What the frame leaves free of the canvas is transparent. Raises `Undecodable`."""
    frame = _first_frame(data)
    indices = open_samples(GifImageFile, _alone(frame), (frame.width, frame.height))
    colours = np.frombuffer(frame.palette, np.uint8).reshape(-1, 3)
    opacity = None
    if frame.transparent is not None:
        opacity = np.where(np.arange(256) == frame.transparent, 0, 255).astype(np.uint8)
        if frame.transparent >= len(colours):  # no colour is needed where nothing shows
            colours = np.concatenate([colours, np.zeros((frame.transparent + 1 - len(colours), 3), np.uint8)])
    pixels, alpha = apply_palette(indices, colours, opacity)
    return Raster(*_on_canvas(frame, pixels, alpha, header), Description())


def _first_frame(data: bytes) -> _Frame:
    """Raises IndexError or struct.error where the file ends."""
    palette, at = _palette(data, data[10], 13)
    transparent = None
    while data[at] == EXTENSION:
        if data[at + 1] == GRAPHIC_CONTROL:
            transparent = data[at + 6] if data[at + 3] & HAS_TRANSPARENCY else None
        at = _skip_blocks(data, at + 2)
    if data[at] != IMAGE:
        raise Undecodable("it has no frame")
    left, top, width, height, flags = struct.unpack_from("<4HB", data, at + 1)
    local, at = _palette(data, flags, at + 10)
    code = data[at : _skip_blocks(data, at + 1)]
    if not (local or palette):
        raise Undecodable("it has no palette")
    return _Frame(left, top, width, height, flags & INTERLACED, local or palette, transparent, code)


def _palette(data: bytes, flags: int, at: int) -> tuple[bytes, int]:
    """Return the palette at `at`, if the flags announce one, and where it ends."""
    size = 3 << (flags & 7) + 1 if flags & HAS_PALETTE else 0
    return data[at : at + size], at + size


def _skip_blocks(data: bytes, at: int) -> int:
    """Return where a chain of data blocks ends: after an empty block, or with the file."""
    while at < len(data) and data[at]:
        at += data[at] + 1
    return at + 1


def _alone(frame: _Frame) -> bytes:
    """Return a grey GIF of the frame's indices and nothing else."""
    size = struct.pack("<HH", frame.width, frame.height)
    greys = bytes(np.repeat(np.arange(256, dtype=np.uint8), 3))
    descriptor = b"," + bytes(4) + size + bytes([frame.interlaced])
    return b"GIF89a" + size + b"\xf7\0\0" + greys + descriptor + frame.code + b"\0;"


def _on_canvas(
    frame: _Frame, pixels: Pixels, alpha: Matte | None, header: Header
) -> tuple[Pixels, Model, Matte | None]:
    rows = slice(frame.top, frame.top + frame.height)
    columns = slice(frame.left, frame.left + frame.width)
    if rows.stop > header.height or columns.stop > header.width:
        raise Undecodable("its frame is larger than its canvas")
    if (frame.width, frame.height) == (header.width, header.height):
        return pixels, "rgb", alpha
    canvas = np.zeros((header.height, header.width, 3), np.uint8)
    opacity = np.zeros((header.height, header.width), np.uint8)
    canvas[rows, columns] = pixels
    opacity[rows, columns] = 255 if alpha is None else alpha
    return canvas, "rgb", opacity

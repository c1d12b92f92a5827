"""Decode PNG with libvips (libpng), from a copy that holds only the chunks that the pixels need.

Everything else is read here: libpng refuses files for damage or sheer size of what only describes the picture. A wrong
checksum of a chunk that the pixels need is damage. Image data that break off are given to libpng, which knows whether
rows are missing.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np

from cutstream.images import WarningCode
from cutstream.images.colour_spaces import Chromaticities, ColourSpace, by_chromaticities, by_code_points
from cutstream.images.decoders import png_damage
from cutstream.images.decoders.failures import NotSupported, Undecodable
from cutstream.images.decoders.libvips import load
from cutstream.images.decoders.metadata import METRES_PER_INCH, check_dpi, read_exif
from cutstream.images.decoders.palette import apply_palette
from cutstream.images.decoders.raster import MAX_PROFILE_BYTES, Description, Model, Raster, split
from cutstream.images.header import CodePoints, Header

Chunk: TypeAlias = tuple[bytes, bytes | memoryview]  # the kind, and the whole chunk

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"CgBI"})  # libpng refuses others whose names begin so
DESCRIBING = frozenset({b"iCCP", b"cICP", b"sRGB", b"gAMA", b"cHRM", b"pHYs", b"eXIf", b"tEXt", b"zTXt"})
TEXTS = frozenset({b"tEXt", b"zTXt"})
RAW_EXIF = (b"Raw profile type exif\0", b"Raw profile type APP1\0")
ICC_HEADER_BYTES = 128
GREY, PALETTE = 0, 3
MODELS: dict[int, Model] = {0: "grey", 2: "rgb", 3: "rgb", 4: "grey", 6: "rgb"}  # by colour type


def read(data: bytes, header: Header) -> Raster:
    """Decode one PNG; of an APNG the default image. Raises `Undecodable`, `NotSupported`."""
    about = Description()
    needed, describing = _read_chunks(data, about)
    colour_type = _check(needed)
    _describe(describing, about)
    if colour_type == PALETTE:
        return _read_palette(needed, about, (header.width, header.height))
    keep_16_bit = about.colour is not None
    whole = b"".join([SIGNATURE, *(chunk for _, chunk in needed), _chunk(b"IEND", b"")])
    with _reason_of_damage(needed):
        loaded = load("pngload_source", whole, (header.width, header.height), high_bytes=not keep_16_bit)
    return split(loaded.samples, MODELS[colour_type], about, keep_16_bit)


@contextmanager
def _reason_of_damage(needed: list[Chunk]) -> Iterator[None]:
    try:
        yield
    except Undecodable as error:
        if error.__cause__ is None:  # it is not from libpng
            raise
        raise Undecodable(png_damage.reason(chunk for kind, chunk in needed if kind == b"IDAT")) from error


def _read_palette(needed: list[Chunk], about: Description, size: tuple[int, int]) -> Raster:
    """Decode the indices as a grey picture, and apply the palette. libpng would show missing colours black."""
    chunks = dict(needed[::-1])  # the first of each kind
    ihdr = bytearray(chunks[b"IHDR"][8:-4])
    bits = ihdr[8]
    ihdr[9] = GREY
    coded = [chunk for kind, chunk in needed if kind == b"IDAT"]
    whole = b"".join([SIGNATURE, _chunk(b"IHDR", bytes(ihdr)), *coded, _chunk(b"IEND", b"")])
    with _reason_of_damage(needed):
        indices = load("pngload_source", whole, size, high_bytes=True).samples[..., 0]
    if bits < 8:
        indices = indices // (255 // ((1 << bits) - 1))
    colours = np.frombuffer(chunks[b"PLTE"][8:-4], np.uint8).reshape(-1, 3)
    opacity = None
    if b"tRNS" in chunks:
        opacity = np.full(256, 255, np.uint8)
        stated = np.frombuffer(chunks[b"tRNS"][8:-4], np.uint8)[:256]
        opacity[: stated.size] = stated
    pixels, alpha = apply_palette(indices, colours, opacity)
    return Raster(pixels, "rgb", alpha, about)


def _read_chunks(data: bytes, about: Description) -> tuple[list[Chunk], dict[bytes, bytes]]:
    """Return the chunks that the pixels need, and the first of each kind that describes them."""
    view = memoryview(data)
    needed: list[Chunk] = []
    describing: dict[bytes, bytes] = {}
    at, pixels_begin, pixels_end = len(SIGNATURE), 0, 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if kind == b"IEND":
            return needed, describing
        if kind == b"IDAT" and end <= len(data):
            if at == pixels_end:  # one view of all: there may be millions
                needed.pop()
            elif pixels_begin:
                raise Undecodable("its image data are interrupted by another chunk")
            else:
                pixels_begin = at
            needed.append((kind, view[pixels_begin:end]))
            pixels_end = end
        elif kind == b"IDAT":
            needed.append((kind, _chunk(kind, data[at + 8 :])))
            break
        elif end > len(data):
            break
        elif not pixels_begin and (not kind.isalpha() or (kind[:1].isupper() and kind not in CRITICAL)):
            raise Undecodable("a chunk before its image data is unknown or has a damaged name")
        elif kind in (b"IHDR", b"PLTE", b"tRNS", b"CgBI") and not pixels_begin:
            needed.append((kind, view[at:end]))
        elif kind in DESCRIBING and (kind not in TEXTS or data.startswith(RAW_EXIF, at + 8)):
            describing.setdefault(kind, data[at + 8 : end - 4] if length <= MAX_PROFILE_BYTES else b"")
        at = end
    about.warn("damaged_data", "the end of the file is missing; all pixels are there")
    return needed, describing


def _check(needed: list[Chunk]) -> int:
    """Return the colour type. What libpng would only warn of is checked here."""
    kinds = [kind for kind, _ in needed]
    if b"CgBI" in kinds:
        raise NotSupported("a PNG in the form that Apple's tools make for apps is not supported: save it as plain PNG")
    if kinds[:1] != [b"IHDR"] or len(needed[0][1]) != 25:
        raise Undecodable("its header chunk is damaged")
    colour_type = int(needed[0][1][17])
    if colour_type not in MODELS:
        raise Undecodable(f"there is no colour type {colour_type}")
    if b"IDAT" not in kinds:
        raise Undecodable("it has no image data")
    if colour_type == PALETTE and b"PLTE" not in kinds:
        raise Undecodable("its colours come from a palette, and it has none")
    for kind, chunk in needed:
        if kind in (b"tRNS", b"PLTE") and zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
            raise Undecodable("the checksum of its palette or transparency is wrong")
    return colour_type


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _describe(chunks: dict[bytes, bytes], about: Description) -> None:
    for kind, describe in DESCRIBERS.items():
        if kind in chunks and not (kind in TEXTS and b"eXIf" in chunks):
            try:
                describe(chunks[kind], about)
            except (struct.error, ValueError, LookupError, zlib.error):
                about.warn(*DAMAGED[kind])
    about.colour = _colour(chunks, about)


def _icc(body: bytes, about: Description) -> None:
    packed = body[body.index(b"\0") + 2 :]
    if zlib.decompressobj().decompress(packed, ICC_HEADER_BYTES)[36:40] != b"acsp":  # before all of it is unpacked
        raise ValueError("it is no profile")
    about.icc = _unpack(packed)


def _resolution(body: bytes, about: Description) -> None:
    x, y, unit = struct.unpack(">IIB", body)
    if unit == 1:
        about.dpi = check_dpi(x * METRES_PER_INCH, y * METRES_PER_INCH, about)


def _raw_exif(body: bytes, about: Description) -> None:
    _, _, text = body.partition(b"\0")
    _read_raw_exif(text, about)


def _packed_raw_exif(body: bytes, about: Description) -> None:
    _read_raw_exif(_unpack(body[body.index(b"\0") + 2 :]), about)


def _read_raw_exif(text: bytes, about: Description) -> None:
    """Read EXIF as ImageMagick writes it: a line with its kind, one with its length, and hexadecimal digits."""
    _, _kind, _length, digits = text.split(b"\n", 3)
    read_exif(bytes.fromhex(digits.decode("ascii")), about)


def _unpack(packed: bytes) -> bytes:
    unpack = zlib.decompressobj()
    unpacked = unpack.decompress(packed, MAX_PROFILE_BYTES)
    if not unpack.eof:
        raise ValueError("it breaks off, or is too large")
    return unpacked


def _colour(chunks: dict[bytes, bytes], about: Description) -> ColourSpace | None:
    """Return the colour space by the first of cICP, iCCP, sRGB, gAMA with cHRM (PNG, third edition); None for sRGB."""
    space = None
    try:
        if b"cICP" in chunks:
            primaries, transfer, matrix, full_range = struct.unpack("BBBB", chunks[b"cICP"])
            space = by_code_points(CodePoints(primaries, transfer, matrix, bool(full_range)))
            if space is None or matrix != 0 or full_range != 1:
                raise ValueError("code points that no PNG can have")
        elif b"gAMA" in chunks and about.icc is None and b"sRGB" not in chunks:
            (gamma,) = struct.unpack(">I", chunks[b"gAMA"])
            space = by_chromaticities(1e5 / gamma, _primaries(chunks.get(b"cHRM")))
            if space is None:
                raise ValueError("primaries that no colours have")
    except (struct.error, ValueError, ZeroDivisionError):
        about.warn("unusable_profile", "the description of the colour space is damaged: sRGB is assumed")
        return None
    return None if space is None or space.is_srgb else space


def _primaries(body: bytes | None) -> Chromaticities | None:
    if body is None:
        return None
    white_x, white_y, *corners = (value / 1e5 for value in struct.unpack(">8I", body))
    red_x, red_y, green_x, green_y, blue_x, blue_y = corners
    return red_x, red_y, green_x, green_y, blue_x, blue_y, white_x, white_y


DESCRIBERS: dict[bytes, Callable[[bytes, Description], None]] = {
    b"iCCP": _icc,
    b"pHYs": _resolution,
    b"eXIf": read_exif,
    b"tEXt": _raw_exif,
    b"zTXt": _packed_raw_exif,
}
DAMAGED: dict[bytes, tuple[WarningCode, str]] = {
    b"iCCP": ("unusable_profile", "the colour profile is damaged: sRGB is assumed"),
    b"pHYs": ("unusable_metadata", "the resolution cannot be read, and is ignored"),
    **dict.fromkeys(
        (b"eXIf", b"tEXt", b"zTXt"),
        ("unusable_metadata", "the EXIF data are damaged: orientation and resolution are unknown"),
    ),
}

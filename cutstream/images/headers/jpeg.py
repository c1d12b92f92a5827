"""The header of a JPEG (ITU-T T.81), and what its scans cover.

A picture in one scan is known from its first scan header. The scans of other files are found and counted: each costs a
decoder a pass over the whole picture, and a file cut off between two scans still decodes, to a blurred or grey picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import error, unpack_from
from typing import NamedTuple

import numpy as np

from cutstream.errors import UnreadableImage, UnsupportedImage
from cutstream.images.headers import mpo
from cutstream.images.headers.reading import Steps, u16
from cutstream.images.headers.types import Header

MAX_SEGMENTS = 10_000  # a 16 MB ICC profile takes 255
MAX_SEARCHES = 1_000  # for the next marker after entropy-coded data or stray bytes
MAX_SCANS = 100  # ordinary progressive files have about 10
WINDOW_BYTES = (256, 4096, 65536)
SOI, EOI, SOS = 0xD8, 0xD9, 0xDA
STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = frozenset({0xC2, 0xCA})
HIERARCHICAL = frozenset({0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF})
JPEG_LS = 0xF7
APP1, APP2 = 0xE1, 0xE2
MAX_SEGMENTS_OF_ANOTHER = 300  # of another picture in the file, before its frame header
MAX_DESCRIPTIONS, DESCRIPTION_BYTES = 16, 16_384  # in which it may say that it is a gain map
GAIN_MAP = (b"hdrgm:", b"HDRGainMap", b"urn:iso:std:iso:ts:21496")  # in XMP of Adobe's and Apple's, and in ISO 21496-1
NOT_YET = 0xFF


class Segment(NamedTuple):
    """A marker's code and where its parameters begin, their length included."""

    code: int
    at: int


@dataclass(frozen=True)
class _Frame:
    code: int
    bits: int
    height: int
    width: int
    components: bytes  # their identifiers
    index: int = 0  # where the index of an MPO begins, if there is one


def read_jpeg(data: bytes) -> Header:
    segments = _segments(data)
    frame = _read_frame(data, segments)
    scans = _count_scans(data, segments, frame)
    return Header(
        "jpeg",
        frame.width,
        frame.height,
        bits=frame.bits,
        channels=len(frame.components),
        progressive=scans > 1,
        pictures=_count_pictures(data, frame),
    )


def _count_pictures(data: bytes, frame: _Frame) -> int:
    if not frame.index:
        return 1
    return 1 + sum(_is_photo(data, entry, frame) for entry in mpo.read_index(data, frame.index))


def _is_photo(data: bytes, entry: mpo.MpEntry, main: _Frame) -> bool:
    """Tell a photo beside the main one from a preview, a gain map or a depth map."""
    if entry.kind != mpo.UNDEFINED:
        return entry.kind in mpo.PHOTOS
    if data[entry.start : entry.start + 2] != b"\xff\xd8":
        return False
    try:
        segments = _segments(data, entry.start + 2, MAX_SEGMENTS_OF_ANOTHER, 0)
        frame = _read_frame(data, _without_gain_maps(data, segments))
    except (UnsupportedImage, ValueError, LookupError, error):
        return False
    return 2 * frame.width * frame.height > main.width * main.height


def _without_gain_maps(data: bytes, segments: Iterator[Segment]) -> Iterator[Segment]:
    """Yield segments of a picture. Raises ValueError if it only brightens another one."""
    searches = Steps(MAX_DESCRIPTIONS, "descriptions")
    for segment in segments:
        if segment.code in (APP1, APP2):
            searches.take()
            description = data[segment.at : segment.at + min(u16(data, segment.at), DESCRIPTION_BYTES)]
            if any(mark in description for mark in GAIN_MAP):
                raise ValueError("a gain map")
        yield segment


def _segments(
    data: bytes, at: int = 2, max_segments: int = MAX_SEGMENTS, max_searches: int = MAX_SEARCHES
) -> Iterator[Segment]:
    """Yield each marker up to the end of the picture. Entropy-coded data and stray bytes are passed over."""
    steps, searches = Steps(max_segments, "segments"), Steps(max_searches, "stretches between markers")
    samples = np.frombuffer(data, np.uint8)
    while True:
        if data[at : at + 1] != b"\xff" or data[at + 1 : at + 2] in b"\0\xff":
            searches.take()
            at = _find_marker(samples, at)
        steps.take()
        code = data[at + 1]
        yield Segment(code, at + 2)
        if code == EOI:
            return
        at += 2 if code in STANDALONE else 2 + max(2, u16(data, at + 2))


def _find_marker(samples: np.ndarray[tuple[int], np.dtype[np.uint8]], at: int) -> int:
    """Return where the next marker begins, restart markers and stuffed bytes not counted."""
    sizes = iter(WINDOW_BYTES)
    size = next(sizes)
    while at + 1 < len(samples):
        window = samples[at : at + size + 1]
        after = window[1:]
        markers = (window[:-1] == 0xFF) & (after != 0) & (after != 0xFF) & (after & 0xF8 != 0xD0)
        first = int(markers.argmax())
        if markers[first]:
            return at + first
        at += size
        size = next(sizes, size)
    raise IndexError("no further marker")


def _read_frame(data: bytes, segments: Iterator[Segment]) -> _Frame:
    index = 0
    for code, at in segments:
        if code == APP2 and data.startswith(mpo.MARK, at + 2):
            index = index or at + 2 + len(mpo.MARK)
        if code in FRAMES:
            bits, height, width, count = data[at + 2], u16(data, at + 3), u16(data, at + 5), data[at + 7]
            frame = _Frame(code, bits, height, width, data[at + 8 : at + 8 + 3 * count : 3], index)
            _check_frame(frame, count)
            return frame
        if code == JPEG_LS:
            raise UnsupportedImage("a JPEG-LS, which only shares its name with JPEG: convert it")
        if code in (SOS, EOI):
            break
    raise ValueError("no frame header")


def _check_frame(frame: _Frame, count: int) -> None:
    if frame.code in HIERARCHICAL:
        raise UnsupportedImage("a hierarchical JPEG: save it as an ordinary one")
    if frame.bits != 8:
        raise UnsupportedImage(f"a JPEG of {frame.bits} bits per sample: save it with 8 bits, or as PNG or TIFF")
    if count not in (1, 3, 4):
        raise UnsupportedImage(f"a JPEG of {count} components: save it in grey, RGB or CMYK")
    if len(frame.components) != count:
        raise ValueError("it ends within the frame header")
    if frame.width and not frame.height:
        raise UnsupportedImage("a JPEG that states its height only after the picture (DNL): save it again")


def _count_scans(data: bytes, segments: Iterator[Segment], frame: _Frame) -> int:
    """Return the number of scans. Raises `UnreadableImage` where they are too many, or leave out part of the picture.

    `reached` has, for each component, the lowest bit (Al) to which each of its 64 coefficients is there.
    """
    reached = {identifier: bytearray([NOT_YET]) * 64 for identifier in frame.components}
    scans = 0
    try:
        for code, at in segments:
            if code == SOS:
                scans += 1
                _note_scan(data, at, frame, reached)
                if frame.code not in PROGRESSIVE and not any(map(any, reached.values())):
                    break  # decoders read no further either
                if scans > MAX_SCANS:
                    raise UnreadableImage(f"a JPEG of more than {MAX_SCANS} scans takes too long: save it with fewer")
    except LookupError:
        pass  # the end marker is missing: what counts is what was there
    if any(map(any, reached.values())):
        raise UnreadableImage("the jpeg holds only part of the picture: scans are missing at its end")
    return scans


def _note_scan(data: bytes, at: int, frame: _Frame, reached: dict[int, bytearray]) -> None:
    count = data[at + 2]
    low, high, position = unpack_from("BBB", data, at + 3 + 2 * count)
    if frame.code not in PROGRESSIVE:
        low, high, position = 0, 63, 0
    for identifier in data[at + 3 : at + 3 + 2 * count : 2]:
        if identifier in reached and low <= high < 64:
            reached[identifier][low : high + 1] = bytes([position & 15]) * (high + 1 - low)

"""Decode JPEG with libvips (libjpeg-turbo), from a file whose header holds only what the pixels need.

Most of libjpeg's warnings mean that pixels are missing or wrong, and it tells only the first. So what would cause a
harmless one is mended before it decodes: an unknown revision of JFIF, an unknown colour transform of Adobe's, bytes
between the segments, scan parameters that a sequential file must not have. Any other warning then counts as damage,
except for bytes between the last scan and the end marker.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

from cutstream.images.decoders.failures import NotSupported, Undecodable, failure
from cutstream.images.decoders.libvips import load
from cutstream.images.decoders.metadata import CM_PER_INCH, check_dpi, read_exif
from cutstream.images.decoders.raster import MAX_PROFILE_BYTES, Description, Model, Raster, split
from cutstream.images.header import Header
from cutstream.images.headers.jpeg import FRAMES, MAX_SEGMENTS, STANDALONE

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
SOS, APP0, APP1, APP2, APP14 = 0xDA, 0xE0, 0xE1, 0xE2, 0xEE
TABLES = frozenset({0xC4, 0xDB, 0xDD})  # Huffman codes, quantisation, restart interval
SEQUENTIAL = frozenset({0xC0, 0xC1})
ARITHMETIC = frozenset({0xC9, 0xCA})
WITH_LENGTH = frozenset({0xFE, *range(0xC0, 0xD0), *range(0xDA, 0xDE), *range(0xE0, 0xF0)})
NOT_FF = re.compile(rb"[^\xff]")
HARMLESS = re.compile(r"extraneous bytes before marker 0xd9")
MODELS: dict[tuple[str, int], Model] = {("b-w", 1): "grey", ("srgb", 3): "rgb", ("cmyk", 4): "cmyk"}


@dataclass
class _Segments:
    kept: list[bytes] = field(default_factory=list)
    frame: bytes = b""
    frame_code: int = 0
    jfif: bytes = b""
    exif: bytes = b""
    icc: dict[int, bytes] = field(default_factory=dict)
    icc_parts: int = 0
    icc_twice: bool = False


def read(data: bytes, header: Header) -> Raster:
    """Decode one JPEG. Raises `Undecodable`, `NotSupported`."""
    segments, scans = _read_segments(data)
    _check_frame(segments)
    # The end marker is appended: a file that lacks nothing else decodes, and one that lacks more ends too early.
    coded = memoryview(data)[_end(data, scans) :]
    whole = b"".join([SOI, *segments.kept, _mend_scan(data, scans, segments), coded, EOI])
    loaded = load("jpegload_source", whole, (header.width, header.height), high_bytes=True)
    about = _describe(segments)
    if data.find(EOI, scans) < 0:
        about.warn("damaged_data", "the end marker is missing; all pixels are there")
    _check_warning(loaded.warning, about)
    model = MODELS.get((loaded.interpretation, loaded.samples.shape[2]))
    if model is None:
        raise NotSupported(f"a JPEG of {loaded.samples.shape[2]} components is not supported: save it as RGB")
    return split(loaded.samples, model, about)


def _read_segments(data: bytes) -> tuple[_Segments, int]:
    """Return the segments before the first scan, and where that scan's marker begins."""
    found, at = _Segments(), 2
    for _ in range(MAX_SEGMENTS):
        marker = data.find(b"\xff", at)
        after = NOT_FF.search(data, marker) if marker >= 0 else None
        if after is None:
            break
        at, code = after.end(), after[0][0]
        if code == SOS:
            return found, at - 2
        if code == 0 or code in STANDALONE:
            continue
        if code not in WITH_LENGTH:  # libjpeg gives up here, and without a lost table other colours would come out
            raise Undecodable("its structure is damaged")
        (length,) = struct.unpack_from(">H", data, at)
        body = data[at + 2 : at + length]
        if length < 2 or len(body) != length - 2:
            break
        _take(found, code, body)
        at += length
    raise Undecodable("it ends before its first scan")


def _take(found: _Segments, code: int, body: bytes) -> None:
    if code in TABLES:
        found.kept.append(_segment(code, body))
    elif code in FRAMES:
        found.frame, found.frame_code = body, code
        found.kept.append(_segment(code, body))
    elif code == APP0 and body.startswith(b"JFIF\0") and not found.jfif:
        found.jfif = body
        found.kept.append(_segment(code, b"JFIF\0\1\2\0\0\1\0\1\0\0"))
    elif code == APP1 and body.startswith(b"Exif") and not found.exif:
        found.exif = body
    elif code == APP2 and body.startswith(b"ICC_PROFILE\0") and len(body) > 14:
        found.icc_twice = found.icc_twice or body[12] in found.icc
        found.icc[body[12]] = body[14:]
        found.icc_parts = max(found.icc_parts, body[13])
    elif code == APP14 and body.startswith(b"Adobe") and len(body) >= 12:
        found.kept.append(_segment(code, body[:11] + bytes([min(body[11], 3)])))


def _segment(code: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, len(body) + 2) + body


def _check_frame(segments: _Segments) -> None:
    if len(segments.frame) < 6:
        raise Undecodable("it has no frame header")
    bits, components = segments.frame[0], segments.frame[5]
    if bits != 8:
        raise NotSupported(f"a JPEG of {bits} bits is not supported: save it with 8 bits")
    if segments.frame_code in ARITHMETIC:  # which decodes to something whatever is missing, without a warning
        raise NotSupported("an arithmetic-coded JPEG is not supported: save it as an ordinary one")
    if segments.frame_code in (0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF):
        raise NotSupported("lossless and hierarchical JPEG are not supported: save it as baseline or progressive")
    allowed, assumed = ((0, 2), 2) if components == 4 else ((0, 1), 1)
    for place, kept in enumerate(segments.kept):
        if kept[1] == APP14 and kept[-1] not in allowed:  # what libjpeg assumes after its warning
            segments.kept[place] = kept[:-1] + bytes([assumed])


def _mend_scan(data: bytes, at: int, segments: _Segments) -> bytes:
    """Return the first scan's header; in a sequential file with the only parameters that it may have."""
    scan = data[at : _end(data, at)]
    return scan[:-3] + b"\0\x3f\0" if segments.frame_code in SEQUENTIAL else scan


def _end(data: bytes, at: int) -> int:
    """Return where the header of the scan at `at` ends."""
    (length,) = struct.unpack_from(">H", data, at + 2)
    if length < 6 or at + 2 + length > len(data):
        raise Undecodable("it ends before its first scan")
    return int(at + 2 + length)


def _check_warning(warning: str, about: Description) -> None:
    if HARMLESS.search(warning):
        about.warn("damaged_data", "there are bytes that belong to nothing before the end marker")
    elif warning:
        raise failure(warning)


def _describe(segments: _Segments) -> Description:
    about = Description()
    if segments.icc:
        parts = range(1, max(segments.icc_parts, *segments.icc) + 1)
        fits = sum(map(len, segments.icc.values())) <= MAX_PROFILE_BYTES
        if set(parts) == set(segments.icc) and not segments.icc_twice and fits:
            about.icc = b"".join(segments.icc[part] for part in parts)
        else:  # as all viewers do
            about.warn("unusable_profile", "the parts of the colour profile do not fit together: sRGB is assumed")
    if len(segments.jfif) >= 12:
        unit, x, y = struct.unpack_from(">BHH", segments.jfif, 7)
        if unit in (1, 2):
            scale = 1.0 if unit == 1 else CM_PER_INCH
            about.dpi = check_dpi(x * scale, y * scale, about)
    if segments.exif:
        read_exif(segments.exif, about)
    return about

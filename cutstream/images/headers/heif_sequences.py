"""Sequences of pictures in AVIF and HEIC: tracks as those of a video (ISO/IEC 14496-12)."""

from __future__ import annotations

from struct import unpack_from

from cutstream.errors import UnsupportedImage
from cutstream.images.headers.av1 import BEGINNING_BYTES, check_coded_size
from cutstream.images.headers.boxes import Box, boxes, first_of_each
from cutstream.images.headers.heif_properties import FORMATS, colour_of, cropped_by, is_in_order, samples_of
from cutstream.images.headers.reading import Steps, u32
from cutstream.images.headers.types import Header

ENTRY_BYTES = 78  # of a sample entry, before the boxes within it


def find_tracks(data: bytes, moov: Box, steps: Steps) -> dict[bytes, dict[bytes, Box]]:
    """Return the first track of each handler: `pict` for pictures, `auxv` for alpha.

    A track is its boxes by type, those of `trak`, `mdia`, `minf` and `stbl` together.
    """
    found: dict[bytes, dict[bytes, Box]] = {}
    for box in boxes(data, moov.start, moov.end, steps):
        if box.kind != b"trak":
            continue
        parts = first_of_each(data, box.start, box.end, steps)
        for inner in (b"mdia", b"minf", b"stbl"):
            if inner in parts:
                parts |= first_of_each(data, parts[inner].start, parts[inner].end, steps)
        if b"hdlr" in parts:
            at = parts[b"hdlr"].start + 8
            found.setdefault(data[at : at + 4], parts)
    return found


def read_sequence(data: bytes, tracks: dict[bytes, dict[bytes, Box]], steps: Steps) -> Header:
    if b"pict" not in tracks:
        raise ValueError("neither a `meta` box nor a track of pictures")
    track = tracks[b"pict"]
    entry = next(boxes(data, track[b"stsd"].start + 8, track[b"stsd"].end, steps), None)
    if entry is None:
        raise ValueError("its track describes no pictures")
    if entry.kind not in FORMATS:
        raise UnsupportedImage(f"a sequence of pictures stored as {entry.kind.decode('latin-1')}: send one as JPEG")
    if FORMATS[entry.kind] == "heic":
        raise UnsupportedImage("a sequence of pictures in HEVC without a still picture: send one as JPEG")
    width, height = unpack_from(">HH", data, entry.start + 24)
    properties = list(boxes(data, entry.start + ENTRY_BYTES, entry.end, steps))
    if not is_in_order(data, properties):
        raise UnsupportedImage("a sequence that is turned before it is cropped or mirrored: save it again")
    if entry.kind == b"av01":
        _check_first_sample(data, track, width, height)
    width, height, crop = cropped_by(data, properties, width, height)
    bits, channels = samples_of(data, properties) or (8, 3)
    colour, _ = colour_of(data, properties)
    return Header(
        FORMATS[entry.kind],
        width,
        height,
        bits=bits,
        channels=channels + (b"auxv" in tracks),
        pictures=count_samples(data, track),
        colour=colour,
        crop=crop,
    )


def _check_first_sample(data: bytes, track: dict[bytes, Box], width: int, height: int) -> None:
    """Refuse AV1 of another size than its track states: libavif would scale it."""
    for kind, size in ((b"stco", 4), (b"co64", 8)):
        if kind in track and u32(data, track[kind].start + 4):
            at = int.from_bytes(data[track[kind].start + 8 : track[kind].start + 8 + size], "big")
            check_coded_size(data[at : at + BEGINNING_BYTES], width, height)


def count_samples(data: bytes, track: dict[bytes, Box]) -> int:
    """Return the number of frames. A sequence in fragments does not state it here, and counts as two."""
    for kind in (b"stsz", b"stz2"):
        if kind in track:
            return max(1, u32(data, track[kind].start + 8))
    return 2

"""The header of AVIF and HEIC: pictures of AV1 and of HEVC in HEIF boxes (ISO/IEC 23008-12, AV1 Image File Format)."""

from __future__ import annotations

from dataclasses import replace
from struct import unpack_from

from cutstream.errors import ResolutionTooHigh, UnreadableImage, UnsupportedImage
from cutstream.images.headers.boxes import Box, boxes, first_of_each
from cutstream.images.headers.items import Items, read_items
from cutstream.images.headers.reading import Steps, u16, u32
from cutstream.images.headers.types import CodingPoints, Format, Header

MAX_BOXES = 10_000
MAX_BITS = 16
MAX_TILES = 4_096
MAX_BRANDS = 64
BRANDS = frozenset(
    {b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
    | {b"mif1", b"mif2", b"miaf", b"msf1", b"MA1A", b"MA1B", b"1pic"}
)
SEQUENCES = frozenset({b"avis", b"msf1", b"hevc", b"hevx", b"hevm", b"hevs"})
FORMATS: dict[bytes, Format] = {b"av01": "avif", b"hvc1": "heic", b"hev1": "heic"}
CODECS = {
    b"avc1": "H.264",
    b"jpeg": "JPEG",
    b"vvc1": "VVC",
    b"evc1": "EVC",
    b"j2k1": "JPEG 2000",
    b"unci": "raw samples",
}
DERIVED = frozenset({b"grid", b"iovl", b"iden"})
ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
MAX_HELD_SHARE = 4  # tiles may reach beyond the picture, and a crop leaves pixels out, but not without measure
SMALL_PIXELS = 1 << 22


def brands(data: bytes) -> list[bytes]:
    """Return the brands of a file that begins with an `ftyp` box, its major brand first."""
    end = min(u32(data, 0), len(data), 16 + 4 * MAX_BRANDS)
    return [data[8:12], *(data[at : at + 4] for at in range(16, end, 4))]


def read_heif(data: bytes) -> Header:
    steps = Steps(MAX_BOXES, "boxes")
    names = brands(data)
    found = _find_top(data, bool(SEQUENCES.intersection(names)), steps)
    track = _find_track(data, found[b"moov"], steps) if b"moov" in found else None
    if b"meta" not in found or (track is not None and names[0] == b"avis"):
        if track is None:
            raise ValueError("neither a `meta` box nor a track of pictures")
        return _read_sequence(data, track, steps)
    header = _read_picture(data, read_items(data, found[b"meta"], steps))
    if track is None:
        return header
    return replace(header, pictures=max(header.pictures, _count_samples(data, track, steps)))


def _find_top(data: bytes, sequence: bool, steps: Steps) -> dict[bytes, Box]:
    """Return the first `meta` box, wherever it lies, and of a sequence the first `moov` box too."""
    wanted = {b"meta", b"moov"} if sequence else {b"meta"}
    found: dict[bytes, Box] = {}
    for box in boxes(data, 0, len(data), steps):
        if box.kind in wanted:
            found.setdefault(box.kind, box)
            if len(found) == len(wanted):
                break
    return found


# --- pictures


def _read_picture(data: bytes, items: Items) -> Header:
    tiles = items.references.get((b"dimg", items.primary), ())
    kind = items.kinds.get(items.primary, b"none")
    coded = items.kinds.get(tiles[0], b"none") if kind in DERIVED and tiles else kind
    if coded not in FORMATS:
        what = CODECS.get(coded, coded.decode("latin-1"))
        raise UnsupportedImage(f"a HEIF file whose picture is stored as {what}: save it as HEIC, AVIF or JPEG")
    width, height = _size(data, items, items.primary)
    if FORMATS[coded] == "heic":  # of AVIF, decoders leave the cropping to others
        width, height = _cropped(data, items, width, height)
    _check_held(data, items, (items.primary, *tiles), width * height)
    first = tiles[0] if tiles else items.primary  # a grid may leave all this to its tiles
    bits, channels = _samples(data, items, items.primary) or _samples(data, items, first) or (8, 3)
    colour, profile = _colour(data, items, items.primary)
    if colour is None and not profile:
        colour, profile = _colour(data, items, first)
    return Header(
        FORMATS[coded],
        width,
        height,
        bits=bits,
        channels=channels + _has_alpha(data, items),
        pictures=_count_pictures(items),
        colour=colour,
        profile=profile,
    )


def _size(data: bytes, items: Items, item: int) -> tuple[int, int]:
    extents = items.of(item, b"ispe")
    if not extents:
        raise ValueError("its picture has no size")
    width, height = unpack_from(">II", data, extents[0].start + 4)
    return width, height


def _cropped(data: bytes, items: Items, width: int, height: int) -> tuple[int, int]:
    """Return the size by the `clap` property (clean aperture), which HEVC needs for odd sizes."""
    for box in items.of(items.primary, b"clap"):
        w, w_divisor, h, h_divisor = unpack_from(">IIII", data, box.start)
        if w_divisor and h_divisor:
            return min(width, round(w / w_divisor)), min(height, round(h / h_divisor))
    return width, height


def _check_held(data: bytes, items: Items, coded: tuple[int, ...], pixels: int) -> None:
    """Refuse a picture that is cut from far more pixels than it has: a decoder spends its memory on all of them."""
    if len(coded) > MAX_TILES:
        raise UnreadableImage(f"a picture of {len(coded) - 1:,} tiles takes too long: save it with larger ones")
    sizes = [_size(data, items, item) for item in dict.fromkeys(coded) if items.of(item, b"ispe")]
    held = max(sizes[0][0] * sizes[0][1], sum(width * height for width, height in sizes[1:]))
    if held > max(MAX_HELD_SHARE * pixels, SMALL_PIXELS):
        raise ResolutionTooHigh(f"{held / 1e6:.1f} megapixels are stored for a picture of {pixels / 1e6:.1f}")


def _samples(data: bytes, items: Items, item: int) -> tuple[int, int] | None:
    """Return bits and colour channels by the item's `pixi` property, or by its codec's configuration."""
    for box in items.of(item, b"pixi"):
        channels = data[box.start + 4]
        bits = max(data[box.start + 5 : box.start + 5 + channels], default=0)
        if channels in (1, 3) and 8 <= bits <= MAX_BITS:
            return bits, channels
    for box in items.of(item, b"av1C"):
        flags = data[box.start + 2]
        bits = (12 if flags & 0x20 else 10) if flags & 0x40 else 8
        return bits, 1 if flags & 0x10 else 3
    for box in items.of(item, b"hvcC"):
        return (data[box.start + 17] & 7) + 8, 3 if data[box.start + 16] & 3 else 1
    return None


def _colour(data: bytes, items: Items, item: int) -> tuple[CodingPoints | None, bool]:
    points, profile = None, False
    for box in items.of(item, b"colr"):
        kind = data[box.start : box.start + 4]
        if kind == b"nclx" and box.end - box.start >= 11:
            primaries, transfer, matrix = (u16(data, box.start + at) for at in (4, 6, 8))
            points = CodingPoints(primaries, transfer, matrix, bool(data[box.start + 10] & 0x80))
        profile = profile or kind in (b"prof", b"rICC")
    return points, profile


def _has_alpha(data: bytes, items: Items) -> bool:
    for (kind, item), targets in items.references.items():
        if kind == b"auxl" and items.primary in targets:
            for box in items.of(item, b"auxC"):
                if data[box.start + 4 : box.end].startswith(ALPHA):
                    return True
    return False


def _count_pictures(items: Items) -> int:
    """Count the pictures to look at: no hidden items, thumbnails, auxiliary images, nor what others are made of."""
    apart = set(items.hidden)
    for (kind, item), targets in items.references.items():
        if kind in (b"thmb", b"auxl"):
            apart.add(item)
        elif kind == b"dimg":
            apart.update(targets)
    apart.discard(items.primary)
    return sum(kind in FORMATS or kind in DERIVED for item, kind in items.kinds.items() if item not in apart)


# --- sequences


def _find_track(data: bytes, moov: Box, steps: Steps) -> dict[bytes, Box] | None:
    """Return the boxes of the first track of pictures, by type: those of `trak`, `mdia`, `minf` and `stbl`."""
    for box in boxes(data, moov.start, moov.end, steps):
        if box.kind != b"trak":
            continue
        parts = first_of_each(data, box.start, box.end, steps)
        for inner in (b"mdia", b"minf", b"stbl"):
            if inner in parts:
                parts |= first_of_each(data, parts[inner].start, parts[inner].end, steps)
        handler = parts.get(b"hdlr")
        if handler is not None and data[handler.start + 8 : handler.start + 12] == b"pict":
            return parts
    return None


def _read_sequence(data: bytes, track: dict[bytes, Box], steps: Steps) -> Header:
    entry = next(boxes(data, track[b"stsd"].start + 8, track[b"stsd"].end, steps), None)
    if entry is None:
        raise ValueError("its track describes no pictures")
    if entry.kind not in FORMATS:
        raise UnsupportedImage(f"a sequence of pictures stored as {entry.kind.decode('latin-1')}: send one as JPEG")
    width, height = unpack_from(">HH", data, entry.start + 24)
    return Header(FORMATS[entry.kind], width, height, pictures=_count_samples(data, track, steps))


def _count_samples(data: bytes, track: dict[bytes, Box], steps: Steps) -> int:
    """Return the number of frames. A sequence in fragments does not state it here, and counts as two."""
    for kind in (b"stsz", b"stz2"):
        if kind in track:
            return max(1, u32(data, track[kind].start + 8))
    return 2

"""The header of AVIF and HEIC: pictures of AV1 and of HEVC in HEIF boxes (ISO/IEC 23008-12, AV1 Image File Format)."""

from __future__ import annotations

from dataclasses import replace

from cutstream.errors import UnreadableImage, UnsupportedImage
from cutstream.images.headers.av1 import BEGINNING_BYTES, check_coded_size
from cutstream.images.headers.boxes import Box, boxes
from cutstream.images.headers.heif_properties import (
    FORMATS,
    colour_of,
    cropped_by,
    is_in_order,
    pixels_of,
    samples_of,
    size_of,
)
from cutstream.images.headers.heif_sequences import count_samples, find_tracks, read_sequence
from cutstream.images.headers.item_data import read_beginnings
from cutstream.images.headers.items import Items, read_items
from cutstream.images.headers.reading import Steps, u32
from cutstream.images.headers.types import Header

MAX_BOXES = 10_000
MAX_TILES = 4_096
MAX_DERIVATIONS = 4
MAX_BRANDS = 64
BRANDS = frozenset(
    {b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
    | {b"mif1", b"mif2", b"miaf", b"msf1", b"MA1A", b"MA1B", b"1pic"}
)
SEQUENCES = frozenset({b"avis", b"msf1", b"hevc", b"hevx", b"hevm", b"hevs"})
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
USUAL_OVERHANG = 1.25  # the last tiles of a grid reach beyond its picture; decoders copy them one by one


def brands(data: bytes) -> list[bytes]:
    """Return the brands of a file that begins with an `ftyp` box, its major brand first."""
    end = min(u32(data, 0), len(data), 16 + 4 * MAX_BRANDS)
    return [data[8:12], *(data[at : at + 4] for at in range(16, end, 4))]


def read_heif(data: bytes) -> Header:
    steps = Steps(MAX_BOXES, "boxes")
    names = brands(data)
    found = _find_top(data, bool(SEQUENCES.intersection(names)), steps)
    tracks = find_tracks(data, found[b"moov"], steps) if b"moov" in found else {}
    if b"meta" not in found:
        return read_sequence(data, tracks, steps)
    header = _read_picture(data, read_items(data, found[b"meta"], steps))
    if b"pict" not in tracks:
        return header
    if header.format == "avif" and names[0] != b"avif":  # libavif then takes the sequence, libheif never does
        return read_sequence(data, tracks, steps)
    return replace(header, pictures=max(header.pictures, count_samples(data, tracks[b"pict"])))


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


def _read_picture(data: bytes, items: Items) -> Header:
    tiles = _coded_parts(items)
    coded = items.kinds.get(tiles[0])
    if coded is None or coded in DERIVED:
        raise ValueError("its picture has no data")
    if coded not in FORMATS:
        what = CODECS.get(coded, coded.decode("latin-1"))
        raise UnsupportedImage(f"a HEIF file whose picture is stored as {what}: save it as HEIC, AVIF or JPEG")
    width, height = size_of(data, items.of(items.primary))
    if FORMATS[coded] == "avif" and not is_in_order(data, items.of(items.primary)):
        raise UnsupportedImage("an AVIF that is turned before it is cropped or mirrored: save it again")
    width, height, crop = cropped_by(data, items.of(items.primary), width, height)
    _check_tiles(tiles)
    _check_coded_sizes(data, items, {*tiles, *_alphas(data, items)})
    first = tiles[0]  # a grid may leave all this to its tiles
    bits, channels = samples_of(data, items.of(items.primary)) or samples_of(data, items.of(first)) or (8, 3)
    colour, profile = colour_of(data, items.of(items.primary))
    if colour is None and not profile:
        colour, profile = colour_of(data, items.of(first))
    return Header(
        FORMATS[coded],
        width,
        height,
        bits=bits,
        channels=channels + bool(_alphas(data, items)),
        pictures=_count_pictures(items),
        colour=colour,
        crop=crop,
        cut_from=in_all if (in_all := _coded_pixels(data, items, tiles)) > width * height else 0,
    )


def _coded_parts(items: Items) -> tuple[int, ...]:
    """Return the coded pictures that the primary item is made of: itself, or the tiles of a grid."""
    parts: tuple[int, ...] = (items.primary,)
    for _ in range(MAX_DERIVATIONS):
        if items.kinds.get(parts[0]) not in DERIVED:
            break
        parts = items.references.get((b"dimg", parts[0])) or parts
    return parts


def _check_tiles(tiles: tuple[int, ...]) -> None:
    if len(tiles) > MAX_TILES:
        raise UnreadableImage(f"a picture of {len(tiles):,} tiles takes too long: save it with larger ones")


def _coded_pixels(data: bytes, items: Items, tiles: tuple[int, ...]) -> int:
    """Count the pixels that are decoded for the picture: before it is cropped, and of tiles that reach beyond it."""
    whole = pixels_of(data, items.of(items.primary))
    size = {tile: pixels_of(data, items.of(tile)) for tile in dict.fromkeys(tiles)}
    in_tiles = sum(size[tile] for tile in tiles)
    return in_tiles if in_tiles > USUAL_OVERHANG * whole else whole


def _check_coded_sizes(data: bytes, items: Items, coded: set[int]) -> None:
    """Refuse AV1 of another size than its `ispe` states: libavif would scale it."""
    coded = {item for item in coded if items.kinds.get(item) == b"av01"}
    if not coded:
        return
    places = Steps(MAX_BOXES, "places of items")
    for item, beginning in read_beginnings(data, items.parts, coded, BEGINNING_BYTES, places).items():
        check_coded_size(beginning, *size_of(data, items.of(item)))


def _alphas(data: bytes, items: Items) -> list[int]:
    """Return the auxiliary pictures that are the primary item's alpha, or the parts of it."""
    return [
        part
        for (kind, item), targets in items.references.items()
        if kind == b"auxl" and items.primary in targets and any(_is_alpha(data, box) for box in items.of(item))
        for part in items.references.get((b"dimg", item), (item,))[:MAX_TILES]
    ]


def _is_alpha(data: bytes, box: Box) -> bool:
    return box.kind == b"auxC" and data[box.start + 4 : box.end].startswith(ALPHA)


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

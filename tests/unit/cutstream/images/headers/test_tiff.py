from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest

from cutstream.errors import UnreadableImage, UnsupportedImage
from cutstream.images.header import Header, read_header
from tests.support.pictures.tiff_writer import ASCII, BYTE, LONG, SHORT, Page, write_tiff
from tests.support.pictures.truth import photo

MAX_PIXELS = 50_000_000
NEW_SUBFILE_TYPE, SUBFILE_TYPE, COMPRESSION, PHOTOMETRIC, MAKE, DNG_VERSION = 254, 255, 259, 262, 271, 50706
FULL, REDUCED, MASK = 0, 1, 4
HEIGHT, WIDTH = photo().shape[:2]
ORDERS = pytest.mark.parametrize("order", ["<", ">"])
SIZES = pytest.mark.parametrize("big", [False, True], ids=["classic", "big"])


def page(kind: int | None = None, shrink: int = 1, **options: object) -> Page:
    tags = {} if kind is None else {NEW_SUBFILE_TYPE: (LONG, [kind])}
    return replace(Page(photo()[::shrink, ::shrink]), tags=tags, **options)


def with_tags(base: Page, **tags: tuple[int, object]) -> Page:
    return replace(base, tags={**base.tags, **{int(name[1:]): value for name, value in tags.items()}})


def read(*pages: Page, order: str = "<", big: bool = False) -> Header:
    return read_header(write_tiff(pages, order, big=big), MAX_PIXELS)


def place(header: Header) -> tuple[int, int, int, int]:
    return header.width, header.page, header.subifd, header.pictures


SMALL = photo()[::4, ::4].shape[1]


@ORDERS
@SIZES
@pytest.mark.parametrize(("bits", "channels"), [(8, 1), (16, 1), (8, 3), (16, 3), (8, 4), (16, 4), (8, 2)])
def test_depths_channels_and_byte_orders(order: str, big: bool, bits: int, channels: int) -> None:
    samples = np.zeros((HEIGHT, WIDTH, channels), np.uint16)
    photometric = 1 if channels < 3 else 2
    header = read(Page(samples, bits=bits, photometric=photometric), order=order, big=big)
    assert header == Header("tiff", WIDTH, HEIGHT, bits=bits, channels=channels)


@ORDERS
@SIZES
def test_the_picture_is_found_behind_thumbnails(order: str, big: bool) -> None:
    assert place(read(page(REDUCED, 4), page(FULL), order=order, big=big)) == (WIDTH, 1, -1, 1)
    assert place(read(page(REDUCED, 4), page(REDUCED, 2), page(), order=order, big=big)) == (WIDTH, 2, -1, 1)
    assert place(read(page(MASK), page(), order=order, big=big)) == (WIDTH, 1, -1, 1)


@ORDERS
@SIZES
def test_the_picture_is_found_below_a_thumbnail(order: str, big: bool) -> None:
    """As cameras and Adobe lay it out: a thumbnail first, the rest in its SubIFDs."""
    layout = page(REDUCED, 4, subpages=[page(REDUCED, 2), page(FULL)])
    assert place(read(layout, order=order, big=big)) == (WIDTH, 0, 1, 1)


def test_a_pyramid_below_the_picture_changes_nothing() -> None:
    assert place(read(page(FULL, subpages=[page(REDUCED, 2), page(REDUCED, 4)]))) == (WIDTH, 0, -1, 1)


def test_an_old_subfile_type_marks_a_thumbnail_too() -> None:
    small = replace(page(shrink=4), tags={SUBFILE_TYPE: (SHORT, [2])})
    assert place(read(small, page())) == (WIDTH, 1, -1, 1)


def test_if_all_are_called_thumbnails_the_largest_is_the_picture() -> None:
    assert place(read(page(REDUCED, 4), page(REDUCED), page(REDUCED, 2))) == (WIDTH, 1, -1, 1)


def test_pages_are_counted_without_thumbnails_and_masks() -> None:
    assert read(page(), page(REDUCED, 4), page(2), page(2 | MASK), page()).pictures == 3


def test_a_chain_that_bites_its_tail_ends() -> None:
    data = bytearray(write_tiff([page(), page()]))
    second = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, second)[0]
    link = second + 2 + 12 * count
    struct.pack_into("<I", data, link, second)
    assert read_header(bytes(data), MAX_PIXELS).pictures == 1


def test_damage_behind_the_picture_does_not_cost_it() -> None:
    data = bytearray(write_tiff([page(), page()]))
    first = struct.unpack_from("<I", data, 4)[0]
    link = first + 2 + 12 * struct.unpack_from("<H", data, first)[0]
    for broken in (len(data) + 10, 2**32 - 1, len(data) - 3):
        struct.pack_into("<I", data, link, broken)
        assert place(read_header(bytes(data), MAX_PIXELS)) == (WIDTH, 0, -1, 1)


@pytest.mark.parametrize("following", [2**63, 2**64 - 1])
def test_a_next_directory_beyond_all_memory_does_not_cost_the_picture(following: int) -> None:
    data = b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 3)
    data += b"".join(struct.pack("<HHQQ", tag, 4, 1, value) for tag, value in [(256, 10), (257, 20), (258, 8)])
    assert read_header(data + struct.pack("<Q", following), MAX_PIXELS) == Header("tiff", 10, 20, channels=1)


# --- RAW photos


SENSOR = (SHORT, [32803])


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (b"NIKON CORPORATION\0", "Nikon NEF"),
        (b"SONY\0 \0 \0", "Sony ARW"),
        (b"PENTAX Corporation\0", "Pentax PEF"),
        (b"Unknown maker\0", "samples of a sensor"),
    ],
)
@ORDERS
def test_raw_photos_are_called_by_their_maker(make: bytes, name: str, order: str) -> None:
    raw = with_tags(page(FULL), _262=SENSOR, _271=(ASCII, make))
    below = with_tags(page(REDUCED, 4, subpages=[raw]), _271=(ASCII, make))
    for layout in ([raw], [below]):
        with pytest.raises(UnsupportedImage, match=rf"a RAW photo \({name}\): convert it to JPEG, HEIC or TIFF"):
            read(*layout, order=order)


@ORDERS
@pytest.mark.parametrize("kind", [None, FULL, REDUCED])
def test_raw_photos_with_a_preview_that_looks_like_the_picture_are_told(kind: int | None, order: str) -> None:
    make = (ASCII, b"NIKON CORPORATION\0")
    sensor, deep = with_tags(page(), _262=SENSOR), with_tags(page(), _259=(SHORT, [34713]))
    for inner in ([sensor], [page(REDUCED, 2), sensor], [deep] if kind != REDUCED else [sensor]):
        with pytest.raises(UnsupportedImage, match=r"a RAW photo \(Nikon NEF\)"):
            read(with_tags(page(kind, 4, subpages=inner), _271=make), order=order)
    with pytest.raises(UnsupportedImage, match=r"a RAW photo \(samples of a sensor\)"):
        read(page(kind, 4, subpages=[sensor]), order=order)


def test_ordinary_pictures_of_cameras_and_scanners_are_read() -> None:
    make = (ASCII, b"NIKON CORPORATION\0")
    assert read(with_tags(page(FULL, subpages=[page(REDUCED, 2), page(FULL)]), _271=make)).width == WIDTH
    assert place(read(with_tags(page(REDUCED, 4, subpages=[page(FULL)]), _271=make))) == (WIDTH, 0, 0, 1)
    assert read(page(FULL, 4, subpages=[page(FULL)])).width == SMALL


def test_damage_below_the_picture_does_not_cost_it() -> None:
    for places in ([0xFFFFFFFF], [5, 9_999_999], [0] * 3_000):
        assert read(with_tags(page(FULL), _330=(LONG, places))).width == WIDTH


@pytest.mark.parametrize("mark", [b"IIIIwaR\0", b"MMMMRawT"])
def test_phase_one_is_a_raw_photo(mark: bytes) -> None:
    with pytest.raises(UnsupportedImage, match=r"a RAW photo \(Phase One IIQ\)"):
        read_header(b"II*\0" + struct.pack("<I", 16) + mark + write_tiff([page()])[8:], MAX_PIXELS)


def test_dng_is_a_raw_photo_wherever_its_samples_are() -> None:
    with pytest.raises(UnsupportedImage, match=r"a RAW photo \(DNG\)"):
        read(with_tags(page(REDUCED, 4), _50706=(BYTE, [1, 4, 0, 0])))


def test_cr2_is_a_raw_photo() -> None:
    data = write_tiff([page()])
    with pytest.raises(UnsupportedImage, match=r"a RAW photo \(Canon CR2\)"):
        read_header(data[:8] + b"CR\2\0" + data[12:], MAX_PIXELS)


# --- varieties


@pytest.mark.parametrize(
    ("compression", "name"),
    [
        (50000, "Zstandard"),
        (34925, "LZMA"),
        (34887, "LERC"),
        (34661, "JBIG"),
        (6, "old-style JPEG"),
        (32809, "ThunderScan"),
        (12345, "12345"),
    ],
)
def test_rare_compressions_are_named(compression: int, name: str) -> None:
    with pytest.raises(UnsupportedImage, match=f"the compression {name}: save it with LZW or Deflate"):
        read(with_tags(page(), _259=(SHORT, [compression])))


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"_339": (SHORT, [3, 3, 3])}, "floating-point samples of 8 bits"),
        ({"_339": (SHORT, [2, 2, 2])}, "signed samples of 8 bits"),
        ({"_258": (SHORT, [32, 32, 32])}, "whole samples of 32 bits"),
        ({"_258": (SHORT, [12, 12, 12])}, "whole samples of 12 bits"),
        ({"_258": (SHORT, [5, 6, 5])}, "whole samples of 5/6 bits"),
        ({"_258": (SHORT, [4, 4, 4])}, "3 samples of 4 bits"),
        ({"_277": (SHORT, [200])}, "200 channels"),
    ],
)
def test_samples_that_are_not_read_are_no_damage(tags: dict[str, tuple[int, object]], message: str) -> None:
    with pytest.raises(UnsupportedImage, match=message):
        read(with_tags(page(), **tags))


# --- limits


def layout(width: int, height: int, *tags: tuple[int, int]) -> bytes:
    """A classic TIFF of LONG tags alone, without pixels."""
    entries = sorted([(256, width), (257, height), (258, 8), *tags])
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + bytes(4)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (layout(100, 400_000, (278, 1)), "400,000 strips"),
        (layout(100, 50_000, (278, 1), (277, 3), (284, 2)), "150,000 strips"),
        (layout(6_000, 6_000, (322, 16), (323, 16)), "140,625 tiles"),
        (layout(6_000, 6_000, (322, 1), (323, 1)), "36,000,000 tiles"),
    ],
)
def test_absurdly_many_strips_and_tiles_are_refused(data: bytes, what: str) -> None:
    with pytest.raises(UnreadableImage, match=f"a TIFF of {what} takes too long"):
        read_header(data, MAX_PIXELS)


def test_a_strip_for_each_row_is_allowed() -> None:
    assert read_header(layout(1_000, 50_000, (278, 1)), MAX_PIXELS).height == 50_000
    assert read_header(layout(1_000, 40, (278, 2**32 - 1)), MAX_PIXELS).height == 40


@pytest.mark.parametrize(
    ("side", "tile", "allowed"),
    [(100, 256, True), (100, 272, False), (300, 768, True), (300, 8192, False), (1000, 2048, True), (300, 17, False)],
)
def test_tiles_that_libvips_refuses_are_refused_by_name(side: int, tile: int, allowed: bool) -> None:
    data = layout(side, side, (322, tile), (323, tile))
    if allowed:
        assert read_header(data, MAX_PIXELS).width == side
    else:
        with pytest.raises(UnsupportedImage, match=f"tiles of {tile}×{tile}: save it in strips"):
            read_header(data, MAX_PIXELS)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"II*\0" + bytes(4), "no directory"),
        (b"MM\0*" + b"\xff" * 4, "too early"),
        (b"II+\0\x08\0\0\0" + b"\xff" * 8, "too early"),
        (b"II*\0\x08\0\0\0\xff\xff" + bytes(100), "more than 20,000 tags"),
        (layout(10, 10, (278, 0)), "strips or tiles of 10×0"),
        (layout(10, 10)[:-20], "too early"),
    ],
)
def test_damage(data: bytes, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        read_header(data, MAX_PIXELS)

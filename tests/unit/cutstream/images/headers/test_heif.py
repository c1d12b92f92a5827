"""AVIF and HEIC, built box by box, beside files of the encoders."""

from __future__ import annotations

import struct
from io import BytesIO

import pillow_heif
import pytest
from PIL import Image as Pillow

from cutstream.errors import ResolutionTooHigh, UnreadableImage, UnsupportedImage
from cutstream.images.header import CodePoints, Crop, Header, read_header
from cutstream.images.headers.heif import MAX_BOXES, MAX_TILES
from tests.support.pictures.truth import photo

MAX_PIXELS = 50_000_000
ALPHA = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0"

pillow_heif.register_heif_opener()


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def full(kind: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def size(width: int, height: int) -> bytes:
    return full(b"ispe", struct.pack(">II", width, height))


def item(number: int, kind: bytes = b"hvc1", *, hidden: bool = False) -> bytes:
    return full(b"infe", struct.pack(">HH", number, 0), kind, b"\0", version=2, flags=int(hidden))


def refers(kind: bytes, source: int, *targets: int) -> bytes:
    return box(kind, struct.pack(f">HH{len(targets)}H", source, len(targets), *targets))


def meta(
    items: list[bytes],
    properties: list[bytes],
    associations: dict[int, list[int]],
    references: list[bytes] | None = None,
    primary: int = 1,
) -> bytes:
    pairs = [struct.pack(f">HB{len(of)}B", number, len(of), *of) for number, of in associations.items()]
    return full(
        b"meta",
        full(b"pitm", struct.pack(">H", primary)),
        full(b"iinf", struct.pack(">H", len(items)), *items),
        full(b"iref", *(references or [])),
        box(b"iprp", box(b"ipco", *properties), full(b"ipma", struct.pack(">I", len(pairs)), *pairs)),
    )


def file(*parts: bytes, brands: bytes = b"heic\0\0\0\0mif1heic") -> bytes:
    return box(b"ftyp", brands) + b"".join(parts)


def read(data: bytes, max_pixels: int = MAX_PIXELS) -> Header:
    return read_header(data, max_pixels)


PLAIN = meta([item(1)], [size(50, 40)], {1: [1]})
ONE_ITEM = b"iinf\0\0\0\0\0\1"


@pytest.mark.parametrize(
    "brands",
    [b"heic\0\0\0\0", b"heix\0\0\0\0", b"hevc\0\0\0\0", b"mif1\0\0\0\0", b"msf1\0\0\0\0", b"isom\0\0\0\0mif1"],
)
def test_the_codec_of_the_primary_item_is_the_format(brands: bytes) -> None:
    assert read(file(PLAIN, brands=brands)).format == "heic"
    coded = meta([item(1, b"av01")], [size(50, 40)], {1: [1]})
    assert read(file(coded, brands=brands)).format == "avif"


def test_the_meta_box_is_found_behind_megabytes_of_pictures() -> None:
    large = struct.pack(">I", 1) + b"mdat" + struct.pack(">Q", 3_000_016) + bytes(3_000_000)
    for before in (box(b"mdat", bytes(3_000_000)), large, box(b"free", bytes(2_000_000))):
        assert read(file(before, PLAIN)).width == 50


def test_only_the_primary_item_gives_the_size() -> None:
    items = [item(1), item(2), item(3)]
    header = read(file(meta(items, [size(9, 8), size(50, 40), size(500, 400)], {1: [1], 2: [2], 3: [3]}, primary=2)))
    assert (header.width, header.height, header.pictures) == (50, 40, 3)


def test_large_indices_and_identifiers_are_read() -> None:
    entry = full(b"infe", struct.pack(">IH", 70_000, 0), b"hvc1\0", version=3)
    properties = box(b"ipco", size(9, 8), size(50, 40))
    pairs = full(b"ipma", struct.pack(">IIBH", 1, 70_000, 1, 0x8002), version=1, flags=1)
    parts = full(b"pitm", struct.pack(">I", 70_000), version=1), full(b"iinf", struct.pack(">I", 1), entry, version=1)
    assert read(file(full(b"meta", *parts, box(b"iprp", properties, pairs)))).width == 50


def test_a_grid_has_its_own_size_and_its_tiles_codec() -> None:
    items = [item(1, b"grid"), item(2, hidden=True), item(3, hidden=True), item(4), item(5, b"Exif")]
    properties = [size(100, 40), size(64, 64), full(b"pixi", b"\3\x0a\x0a\x0a"), size(10, 4)]
    references = [refers(b"dimg", 1, 2, 3), refers(b"thmb", 4, 1), refers(b"cdsc", 5, 1)]
    header = read(file(meta(items, properties, {1: [1], 2: [2, 3], 3: [2, 3], 4: [4]}, references)))
    assert header == Header("heic", 100, 40, bits=10, cut_from=2 * 64 * 64)


def test_a_picture_may_be_derived_from_a_grid() -> None:
    items = [item(1, b"iden"), item(2, b"grid"), item(3, b"av01")]
    references = [refers(b"dimg", 1, 2), refers(b"dimg", 2, 3)]
    assert read(file(meta(items, [size(50, 40)], {1: [1], 2: [1], 3: [1]}, references))).format == "avif"


def test_a_picture_derived_from_itself_is_refused() -> None:
    with pytest.raises(UnreadableImage, match="its picture has no data"):
        read(file(meta([item(1, b"grid")], [size(50, 40)], {1: [1]}, [refers(b"dimg", 1, 1)])))


def test_tiles_far_larger_than_the_picture_are_refused() -> None:
    items = [item(1, b"grid"), item(2), item(3)]
    data = file(meta(items, [size(64, 64), size(4000, 4000)], {1: [1], 2: [2], 3: [2]}, [refers(b"dimg", 1, 2, 3)]))
    with pytest.raises(ResolutionTooHigh, match=r"32\.0 megapixels are stored for a picture of 0\.0"):
        read(data, 30_000_000)


def test_tiles_are_limited() -> None:
    tiles = refers(b"dimg", 1, *[2] * (MAX_TILES + 1))
    data = file(meta([item(1, b"grid"), item(2)], [size(64, 64)], {1: [1], 2: [1]}, [tiles]))
    with pytest.raises(UnreadableImage, match="4,097 tiles takes too long"):
        read(data)


@pytest.mark.parametrize("kind", [b"hvc1", b"av01"])
def test_a_clean_aperture_crops(kind: bytes) -> None:
    crop = box(b"clap", struct.pack(">8i", 49, 1, 78, 2, -1, 2, 1, 2))
    header = read(file(meta([item(1, kind)], [size(50, 40), crop], {1: [1, 2]})))
    assert (header.width, header.height) == (49, 39)
    assert header.crop == Crop(50, 40, left=0, top=1)


def test_a_picture_that_is_cropped_twice_is_refused() -> None:
    crop = box(b"clap", struct.pack(">8I", 49, 1, 39, 1, 0, 1, 0, 1))
    with pytest.raises(UnsupportedImage, match="cropped twice"):
        read(file(meta([item(1)], [size(50, 40), crop, crop], {1: [1, 2, 3]})))


@pytest.mark.parametrize("crop", [(49, 0, 39, 1, 0, 1, 0, 1), (49, 1, 39, 1, 2, 1, 0, 1), (51, 1, 39, 1, 0, 1, 0, 1)])
def test_a_crop_that_is_none_of_the_picture_is_damage(crop: tuple[int, ...]) -> None:
    with pytest.raises(UnreadableImage, match="its crop"):
        read(file(meta([item(1)], [size(50, 40), box(b"clap", struct.pack(">8I", *crop))], {1: [1, 2]})))


def test_a_crop_from_far_more_pixels_is_refused() -> None:
    crop = box(b"clap", struct.pack(">8I", 10, 1, 10, 1, 0, 1, 0, 1))
    with pytest.raises(ResolutionTooHigh, match=r"64\.0 megapixels are stored"):
        read(file(meta([item(1)], [size(8000, 8000), crop], {1: [1, 2]})))


@pytest.mark.parametrize("auxiliary", [ALPHA, b"urn:mpeg:hevc:2015:auxid:1\0"])
def test_alpha_is_an_auxiliary_picture(auxiliary: bytes) -> None:
    properties = [size(50, 40), full(b"auxC", auxiliary)]
    references = [refers(b"auxl", 2, 1)]
    header = read(file(meta([item(1), item(2)], properties, {1: [1], 2: [1, 2]}, references)))
    assert (header.channels, header.pictures) == (4, 1)


def test_depth_maps_are_no_alpha() -> None:
    properties = [size(50, 40), full(b"auxC", b"urn:com:apple:photo:2020:aux:hdrgainmap\0")]
    header = read(file(meta([item(1), item(2)], properties, {1: [1], 2: [1, 2]}, [refers(b"auxl", 2, 1)])))
    assert (header.channels, header.pictures) == (3, 1)


@pytest.mark.parametrize(
    ("configuration", "bits", "channels"),
    [
        (box(b"av1C", b"\x81\0\0\0"), 8, 3),
        (box(b"av1C", b"\x81\0\x40\0"), 10, 3),
        (box(b"av1C", b"\x81\0\x70\0"), 12, 1),
        (box(b"hvcC", bytes(16) + b"\xfd\xf8" + bytes(5)), 8, 3),
        (box(b"hvcC", bytes(16) + b"\xfc\xfa" + bytes(5)), 10, 1),
        (full(b"pixi", b"\1\x08"), 8, 1),
        (full(b"pixi", b"\3\xbb\xbb\xbb"), 8, 3),
        (full(b"pixi", b"\3"), 8, 3),
    ],
)
def test_depth_and_channels(configuration: bytes, bits: int, channels: int) -> None:
    header = read(file(meta([item(1)], [size(50, 40), configuration], {1: [1, 2]})))
    assert (header.bits, header.channels) == (bits, channels)


def test_colour_and_profile() -> None:
    points = box(b"colr", b"nclx", struct.pack(">HHHB", 12, 13, 6, 0x80))
    profile = box(b"colr", b"prof", b"a profile")
    short = box(b"colr", b"nclx", b"\0\1")
    header = read(file(meta([item(1)], [size(50, 40), points, profile], {1: [1, 2, 3]})))
    assert header.colour == CodePoints(12, 13, 6, True)
    header = read(file(meta([item(1)], [size(50, 40), points, short], {1: [1, 3]})))
    assert header.colour is None


def test_the_colour_of_a_grid_may_be_stated_by_its_tiles() -> None:
    points = box(b"colr", b"nclx", struct.pack(">HHHB", 12, 13, 6, 0))
    data = meta([item(1, b"grid"), item(2)], [size(50, 40), points], {1: [1], 2: [1, 2]}, [refers(b"dimg", 1, 2)])
    assert read(file(data)).colour == CodePoints(12, 13, 6, False)


def track(handler: bytes, *inner: bytes) -> bytes:
    return box(b"trak", box(b"mdia", full(b"hdlr", bytes(4), handler, bytes(13)), box(b"minf", box(b"stbl", *inner))))


POINTS = box(b"colr", b"nclx", struct.pack(">HHHB", 12, 13, 6, 0x80))
ENTRY = box(b"av01", bytes(24), struct.pack(">HH", 50, 40), bytes(50), box(b"av1C", b"\x81\0\x40\0"), POINTS)
FRAMES = full(b"stsz", struct.pack(">II", 0, 7))
FILM = box(
    b"moov", track(b"soun"), track(b"pict", full(b"stsd", struct.pack(">I", 1), ENTRY), FRAMES), track(b"auxv", FRAMES)
)


def test_a_sequence_is_read_with_and_without_a_still_picture() -> None:
    sequence = b"avis\0\0\0\0avifmsf1"
    frames = Header("avif", 50, 40, bits=10, channels=4, pictures=7, colour=CodePoints(12, 13, 6, True))
    assert read(file(FILM, brands=sequence)) == frames
    assert read(file(PLAIN, FILM, brands=b"msf1\0\0\0\0heic")) == Header("heic", 50, 40, pictures=7)


@pytest.mark.parametrize(("major", "width"), [(b"avif", 500), (b"avis", 50), (b"mif1", 50)])
def test_the_major_brand_chooses_between_sequence_and_still_picture(major: bytes, width: int) -> None:
    still = meta([item(1, b"av01")], [size(500, 400)], {1: [1]})
    header = read(file(still, FILM, brands=major + b"\0\0\0\0avisavif"))
    assert (header.width, header.pictures) == (width, 7)


def test_a_sequence_that_does_not_count_its_frames_has_several() -> None:
    film = box(b"moov", track(b"pict", full(b"stsd", struct.pack(">I", 1), ENTRY)))
    assert read(file(film, brands=b"avis\0\0\0\0")).pictures == 2


@pytest.mark.parametrize("format", ["AVIF", "HEIF"])
def test_sequences_of_encoders(format: str) -> None:
    picture, buffer = Pillow.fromarray(photo()), BytesIO()
    picture.save(buffer, format, save_all=True, append_images=[picture.rotate(180)] * 2)
    header = read(buffer.getvalue())
    assert (header.width, header.height, header.pictures) == (*picture.size, 3)


# --- what is refused


@pytest.mark.parametrize(
    ("kind", "message"), [(b"avc1", "H.264"), (b"jpeg", "JPEG"), (b"unci", "raw samples"), (b"abcd", "abcd")]
)
def test_other_codecs_are_named(kind: bytes, message: str) -> None:
    with pytest.raises(UnsupportedImage, match=f"stored as {message}"):
        read(file(meta([item(1, kind)], [size(50, 40)], {1: [1]})))


def test_a_sequence_of_hevc_needs_a_still_picture() -> None:
    entry = box(b"hvc1", bytes(24), struct.pack(">HH", 50, 40))
    film = box(b"moov", track(b"pict", full(b"stsd", struct.pack(">I", 1), entry), FRAMES))
    with pytest.raises(UnsupportedImage, match="in HEVC without a still picture"):
        read(file(film, brands=b"msf1\0\0\0\0hevc"))


def test_a_sequence_of_another_codec_is_named() -> None:
    entry = box(b"avc1", bytes(24), struct.pack(">HH", 50, 40))
    film = box(b"moov", track(b"pict", full(b"stsd", struct.pack(">I", 1), entry), FRAMES))
    with pytest.raises(UnsupportedImage, match="avc1"):
        read(file(film, brands=b"msf1\0\0\0\0"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (file(), "neither a `meta` box nor a track"),
        (file(full(b"meta")), "no `pitm` box"),
        (file(meta([item(1)], [], {1: [1]})), "its picture has no size"),
        (file(meta([item(1, b"grid")], [size(50, 40)], {1: [1]})), "its picture has no data"),
        (file(PLAIN).replace(ONE_ITEM, b"\2".join(ONE_ITEM.split(b"\1"))), "some of its items are missing"),
        (file(meta([item(2)], [size(50, 40)], {1: [1]})), "its picture has no data"),
        (file(box(b"moov", track(b"pict", full(b"stsd", bytes(4)))), brands=b"avis\0\0\0\0"), "describes no pictures"),
        (file(box(b"free") * 2 * MAX_BOXES), "more than 10,000 boxes"),
        (file(full(b"meta", box(b"free") * 2 * MAX_BOXES)), "more than 10,000 boxes"),
        (file(struct.pack(">I", 2) + b"free", PLAIN), "a box of 2 bytes"),
        (file(PLAIN)[:60], "too early|no `"),
    ],
)
def test_damage(data: bytes, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        read(data)

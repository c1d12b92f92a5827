from __future__ import annotations

import struct
from io import BytesIO

import pytest
from PIL import Image as Pillow

from cutstream.errors import UnreadableImage, UnsupportedImage
from cutstream.images.header import read_header
from cutstream.images.headers.jpeg import MAX_SCANS, MAX_SEGMENTS, SOS
from cutstream.images.headers.mpo import MAX_PICTURES, MP_ENTRIES
from cutstream.images.headers.types import Header
from tests.support.pictures.jpeg_writer import Component, segment, write_jpeg
from tests.support.pictures.truth import photo

MAX_PIXELS = 50_000_000
ONE, THREE = b"\1\1\x11\0", b"\3\1\x11\0\2\x11\0\3\x11\0"


def saved(mode: str = "RGB", **options: object) -> bytes:
    buffer = BytesIO()
    Pillow.fromarray(photo()).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def frame(code: int = 0xC2, bits: int = 8, components: bytes = ONE, height: int = 40) -> bytes:
    return b"\xff\xd8" + segment(code, struct.pack(">BHH", bits, height, 50) + components)


def scan(low: int, high: int, position: int, components: bytes = b"\1") -> bytes:
    header = bytes([len(components)]) + b"".join(bytes([c, 0]) for c in components) + bytes([low, high, position])
    return segment(SOS, header) + b"\x12\xff\x00\x34\xff\xd0\x56"


def read(data: bytes) -> Header:
    return read_header(data, MAX_PIXELS)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("CMYK", 4)])
@pytest.mark.parametrize("progressive", [False, True])
def test_channels_and_progression(mode: str, channels: int, progressive: bool) -> None:
    header = read(saved(mode, progressive=progressive))
    assert (header.channels, header.progressive) == (channels, progressive)


def test_a_sequential_picture_in_a_scan_for_each_component_is_held_whole_too() -> None:
    components = [Component(photo()[..., k], name=k + 1) for k in range(3)]
    assert not read(write_jpeg(components)).progressive
    assert read(write_jpeg(components, interleaved=False)).progressive


def test_a_missing_end_marker_costs_nothing() -> None:
    for data in (saved(), saved(progressive=True)):
        assert read(data[:-2]) == read(data)


def test_fill_bytes_and_stray_bytes_before_a_marker_are_passed_over() -> None:
    data = saved()
    assert read(data[:2] + b"\xff" * 5000 + b"\0\0stray\xff\0" + data[2:]) == read(data)


def test_markers_within_a_comment_are_no_markers() -> None:
    data = saved(comment=b"\xff\xd8\xff\xc0 not a frame")
    assert read(data).pixels == photo().shape[0] * photo().shape[1]


def test_jpeg_ls_is_called_by_its_name_wherever_its_frame_header_is() -> None:
    frame_of_ls = segment(0xF7, b"\x08\0\x28\0\x32\1\1\x11\0")
    for before in (b"", segment(0xE8, b"spiff"), segment(0xFE, b"comment")):
        with pytest.raises(UnsupportedImage, match="JPEG-LS"):
            read(b"\xff\xd8" + before + frame_of_ls + scan(0, 0, 0))


def test_a_long_run_of_fill_bytes_is_no_frame() -> None:
    with pytest.raises(UnreadableImage, match="too early"):
        read(b"\xff\xd8\xff" + b"\xff" * 64_000)


def test_segments_are_limited() -> None:
    fill = b"\xff\xe0\x00\x02"
    assert read(b"\xff\xd8" + fill * (MAX_SEGMENTS - 100) + saved()[2:]).width == photo().shape[1]
    with pytest.raises(UnreadableImage, match="more than 10,000 segments"):
        read(b"\xff\xd8" + fill * 1_000_000)


@pytest.mark.parametrize("end", [b"\xff\xd9", scan(0, 63, 0), b""])
def test_a_picture_without_a_frame_is_damaged(end: bytes) -> None:
    with pytest.raises(UnreadableImage, match=r"no frame header|too early"):
        read(b"\xff\xd8" + end)


# --- progressions


COMPLETE = [scan(0, 0, 1), scan(1, 5, 0), scan(6, 63, 2), scan(6, 63, 0x21), scan(6, 63, 0x10), scan(0, 0, 0x10)]


def test_a_complete_progression_is_read() -> None:
    header = read(frame() + b"".join(COMPLETE) + b"\xff\xd9")
    assert (header.width, header.height, header.progressive) == (50, 40, True)


@pytest.mark.parametrize("kept", range(len(COMPLETE)))
def test_a_progression_cut_between_two_scans_is_refused(kept: int) -> None:
    for end in (b"\xff\xd9", b""):
        with pytest.raises(UnreadableImage, match="only part of the picture"):
            read(frame() + b"".join(COMPLETE[:kept]) + end)


@pytest.mark.parametrize("left_out", range(len(COMPLETE)))
def test_each_scan_that_reaches_full_precision_is_needed(left_out: int) -> None:
    rest = [each for number, each in enumerate(COMPLETE) if number != left_out]
    data = frame() + b"".join(rest) + b"\xff\xd9"
    if left_out in (0, 2, 3):  # a later scan reaches further: libvips complains of the order, not the header
        assert read(data).progressive
    else:
        with pytest.raises(UnreadableImage, match="only part of the picture"):
            read(data)


def test_every_component_needs_its_scans() -> None:
    colours = scan(0, 0, 0, b"\1\2\3") + scan(1, 63, 0, b"\1") + scan(1, 63, 0, b"\3")
    with pytest.raises(UnreadableImage, match="only part of the picture"):
        read(frame(components=THREE) + colours + b"\xff\xd9")
    assert read(frame(components=THREE) + colours + scan(1, 63, 0, b"\2") + b"\xff\xd9").progressive


def test_a_sequential_picture_needs_a_scan_for_each_component() -> None:
    scans = [scan(0, 63, 0, bytes([k])) for k in (1, 2, 3)]
    assert read(frame(0xC0, components=THREE) + b"".join(scans)).progressive
    with pytest.raises(UnreadableImage, match="only part of the picture"):
        read(frame(0xC0, components=THREE) + b"".join(scans[:2]))


def test_scans_are_limited() -> None:
    complete = frame() + b"".join(COMPLETE)
    assert read(complete + scan(0, 0, 0) * (MAX_SCANS - len(COMPLETE)) + b"\xff\xd9").progressive
    with pytest.raises(UnreadableImage, match="more than 100 scans takes too long"):
        read(complete + scan(0, 0, 0) * 5_000 + b"\xff\xd9")


# --- varieties


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (frame(0xC1, bits=12), "12 bits per sample"),
        (frame(0xC3, bits=16), "16 bits per sample"),
        (frame(0xC5), "hierarchical"),
        (frame(0xC0, height=0), "DNL"),
        (frame(0xC0, components=b"\2\1\x11\0\2\x11\0"), "2 components"),
    ],
)
def test_varieties_that_are_not_read_are_no_damage(data: bytes, message: str) -> None:
    with pytest.raises(UnsupportedImage, match=message):
        read(data)


def test_pictures_of_an_mpo_are_counted() -> None:
    buffer = BytesIO()
    picture = Pillow.fromarray(photo())
    picture.save(buffer, "MPO", save_all=True, append_images=[picture, picture.resize((8, 8))])
    assert read(buffer.getvalue()).pictures == 2


def mpo_of(count: int, second: bytes) -> bytes:
    """Write an index of `count` pictures, all of which are the same `second`."""
    plain = saved()
    head = b"II*\0" + struct.pack("<IH", 8, 1) + struct.pack("<HHII", MP_ENTRIES, 7, 16 * count, 26) + bytes(4)
    offset = len(plain) + len(head) + 16 * count - 2
    index = segment(0xE2, b"MPF\0" + head + struct.pack("<IIIHH", 0, 9, offset, 0, 0) * count)
    return plain[:2] + index + plain[2:] + second


def test_the_index_of_an_mpo_and_what_it_leads_to_are_limited() -> None:
    segments = b"\xff\xe4\0\x02"
    assert read(mpo_of(4_000, saved())).pictures == 1 + MAX_PICTURES
    assert read(mpo_of(4_000, b"\xff\xd8" + segments * 290 + saved()[2:])).pictures == 1 + MAX_PICTURES
    assert read(mpo_of(4_000, b"\xff\xd8" + segments * 400 + saved()[2:])).pictures == 1
    assert read(mpo_of(4_000, b"\xff\xd8" + bytes(10_000) + saved()[2:])).pictures == 1

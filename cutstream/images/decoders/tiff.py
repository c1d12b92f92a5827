"""Decode one page of a TIFF with libvips (libtiff), through a directory that holds only what the pixels need.

The new directory is appended to the file. So damage in any other tag costs no picture, and a page whose channels lie
in separate planes is read plane by plane, as grey, which avoids the layouts that libvips reads wrongly. What its
samples mean is decided here.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from cutstream.images.decoders.failures import NotSupported, Undecodable, failure
from cutstream.images.decoders.libvips import load
from cutstream.images.decoders.metadata import read_tags
from cutstream.images.decoders.raster import (
    CHANNELS,
    MAX_PROFILE_BYTES,
    Description,
    Model,
    Raster,
    Samples,
    high_bytes,
    unpremultiply,
)
from cutstream.images.header import Header
from cutstream.images.headers.directory import (
    SIZES,
    WHOLE_NUMBERS,
    Entry,
    Layout,
    entries,
    first_numbers,
    next_directory,
    read_layout,
    whole_number,
    whole_numbers,
)
from cutstream.images.headers.tiff import READ_COMPRESSIONS, is_signed_lab

BITS, COMPRESSION, PHOTOMETRIC, SAMPLES, PLANAR = 258, 259, 262, 277, 284
INK_SET, EXTRA_SAMPLES, SAMPLE_FORMAT, ICC_PROFILE, SUBIFDS = 332, 338, 339, 34675, 330
STRIPS, TILES = (273, 279), (324, 325)  # offsets and sizes
OTHERS = (256, 257, 266, 278, 292, 293, 317, 320, 322, 323, 347, *range(512, 522), *range(529, 533))
NEEDED = frozenset({BITS, COMPRESSION, PHOTOMETRIC, SAMPLES, PLANAR, INK_SET, SAMPLE_FORMAT, *STRIPS, *TILES, *OTHERS})
SHORT = 3

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, SEPARATED, YCBCR, CIE_LAB, ICC_LAB = 0, 1, 2, 3, 5, 6, 8, 9
MODELS: dict[int, Model] = {
    WHITE_IS_ZERO: "grey",
    BLACK_IS_ZERO: "grey",
    RGB: "rgb",
    PALETTE: "rgb",
    SEPARATED: "cmyk",
    YCBCR: "rgb",
    CIE_LAB: "lab",
    ICC_LAB: "lab",
}
JPEG = 7
SEPARATE = 2
UNSIGNED, VOID = 1, 4
UNSPECIFIED, ASSOCIATED, UNASSOCIATED, UNASSOCIATED_OF_COREL = 0, 1, 2, 999
# libtiff's warnings that mean missing pixels, or a tag that the pixels need. It has many harmless ones.
HARMFUL = re.compile(r"corrupt|premature|mismatch|lack of data|improper|inconsistent|bad code|ignored", re.IGNORECASE)
MAX_SAMPLES = 64
MAX_SUBIFDS = 1000


@dataclass(frozen=True, slots=True)
class _Value:
    """The values of an entry: `payload`, or what lies in the file at `at`."""

    kind: int
    count: int
    payload: bytes | None
    at: int = 0


@dataclass(frozen=True, slots=True)
class _Page:
    layout: Layout
    tags: dict[int, Entry]
    bits: int
    samples: int
    photometric: int
    separate: bool
    extra: tuple[int, ...]
    compression: int

    @property
    def model(self) -> Model:
        return MODELS[self.photometric]

    @property
    def alpha(self) -> int | None:
        """The position of alpha among the extra samples. A lone fourth sample without a tag is alpha."""
        count = self.samples - self.stored_colours
        kinds = self.extra[:count] or (UNASSOCIATED,) * count
        return next((i for i, kind in enumerate(kinds) if kind in (ASSOCIATED, UNASSOCIATED)), None)

    @property
    def is_deep(self) -> bool:
        """Whether all 16 bits are needed: 8 of Lab are too few."""
        return self.photometric == CIE_LAB and self.bits == 16

    @property
    def stored_colours(self) -> int:
        return 1 if self.photometric == PALETTE else CHANNELS[self.model]


def read(data: bytes, header: Header) -> Raster:
    """Decode the page `header.page`. Raises `Undecodable`, `NotSupported`."""
    about = Description()
    layout, at = read_layout(data)
    for _ in range(header.page):
        at = next_directory(data, layout, at)
    if header.subifd >= 0:
        at = _subdirectory(data, layout, at, header.subifd)
    page = _read_page(data, layout, at)
    _check(page)
    read_tags(data, layout, at, about)
    _read_profile(data, page, about)
    size = (header.width, header.height)
    _check_places(data, page)
    samples = _load_planes(data, page, size) if page.separate else _load(data, page, size)
    return _interpret(samples, page, about)


def _read_page(data: bytes, layout: Layout, at: int) -> _Page:
    tags: dict[int, Entry] = {}
    try:
        for entry in entries(data, layout, at):
            tags.setdefault(entry.tag, entry)
    except struct.error:
        pass  # what is missing will be missed

    def value(tag: int, default: int) -> int:
        return whole_number(data, layout, tags[tag]) if tag in tags else default

    bits = set(whole_numbers(data, layout, tags[BITS], MAX_SAMPLES)) if BITS in tags else {1}
    if len(bits) != 1:
        raise NotSupported("a TIFF whose channels differ in depth is not supported: save it with 8 or 16 bits")
    formats = first_numbers(data, layout, tags[SAMPLE_FORMAT], MAX_SAMPLES) if SAMPLE_FORMAT in tags else ()
    signed_lab = is_signed_lab(value(PHOTOMETRIC, BLACK_IS_ZERO), formats, min(bits))
    if not signed_lab and value(SAMPLE_FORMAT, UNSIGNED) not in (UNSIGNED, VOID):
        raise NotSupported("signed and floating point samples are not supported: save the image with 8 or 16 bits")
    extra = whole_numbers(data, layout, tags[EXTRA_SAMPLES], MAX_SAMPLES) if EXTRA_SAMPLES in tags else ()
    extra = tuple(UNASSOCIATED if kind == UNASSOCIATED_OF_COREL else kind for kind in extra)
    if value(INK_SET, 1) != 1:
        raise NotSupported("a TIFF of other inks than CMYK is not supported: save it as RGB")
    samples = value(SAMPLES, 1)
    return _Page(
        layout,
        tags,
        bits.pop(),
        samples,
        value(PHOTOMETRIC, BLACK_IS_ZERO),
        value(PLANAR, 1) == SEPARATE and samples > 1,
        extra,
        value(COMPRESSION, 1),
    )


def _subdirectory(data: bytes, layout: Layout, at: int, index: int) -> int:
    """Return where the SubIFD with this index of the directory at `at` begins."""
    for entry in entries(data, layout, at):
        if entry.tag == SUBIFDS:
            return whole_numbers(data, layout, entry, MAX_SUBIFDS)[index]
    raise Undecodable("it lacks the directory of its picture")


def _check(page: _Page) -> None:
    if PHOTOMETRIC not in page.tags:
        raise Undecodable("it does not say whether its samples are grey, colours or ink")
    if page.photometric not in MODELS:
        raise NotSupported(f"a TIFF of colour model {page.photometric} is not supported: save it as RGB")
    if page.compression not in READ_COMPRESSIONS:  # of another type than the header takes
        raise NotSupported(f"a TIFF of compression {page.compression} is not supported: save it with LZW or Deflate")
    if page.bits not in (1, 2, 4, 8, 16):
        raise NotSupported(f"samples of {page.bits} bits are not supported: save the image with 8 or 16 bits")
    if page.samples > MAX_SAMPLES or page.samples < page.stored_colours:
        raise Undecodable(f"it has {page.samples} samples a pixel, which is not what its colour model has")
    if not {UNSPECIFIED, ASSOCIATED, UNASSOCIATED}.issuperset(page.extra[: page.samples - page.stored_colours]):
        raise Undecodable("it does not say whether its last sample is alpha")
    if page.separate and page.photometric in (PALETTE, YCBCR):
        raise NotSupported("a TIFF with a palette or YCbCr in separate planes is not supported: save it as RGB")
    if page.photometric == YCBCR and page.bits != 8:
        raise NotSupported(f"YCbCr of {page.bits} bits is not supported: save the image as RGB")
    if page.bits < 8 and page.samples > 1 and not page.separate:
        raise NotSupported(f"several samples of {page.bits} bits are not supported: save the image with 8 bits")


def _check_places(data: bytes, page: _Page) -> None:
    """Refuse a page with strips or tiles that are not there. libtiff would take other bytes of the file for them."""
    for offsets, sizes in (STRIPS, TILES):
        if offsets in page.tags:
            places = _numbers(data, page, page.tags[offsets])
            lengths = _numbers(data, page, page.tags[sizes]) if sizes in page.tags else np.ones_like(places)
            missing = (places < 8) | (places >= len(data))
            if missing.any() or not lengths.all():
                raise Undecodable(f"{max(missing.sum(), (lengths == 0).sum())} of its {places.size} strips are missing")


def _numbers(data: bytes, page: _Page, entry: Entry) -> NDArray[np.unsignedinteger[Any]]:
    if entry.kind not in WHOLE_NUMBERS:
        raise Undecodable("the places of its strips are no numbers")
    return np.frombuffer(data, page.layout.order + WHOLE_NUMBERS[entry.kind], entry.count, entry.at)


def _load(data: bytes, page: _Page, size: tuple[int, int]) -> Samples:
    """Decode a page whose channels are interleaved. Returns H×W×C."""
    values = _needed(page)
    if page.model == "lab":  # as RGB, which libvips copies
        values[PHOTOMETRIC] = _short(page.layout, RGB)
        values.pop(SAMPLE_FORMAT, None)  # what is signed is known
    extra = page.samples - page.stored_colours
    if extra:  # as unspecified ones, which libvips leaves alone
        values[EXTRA_SAMPLES] = _short(page.layout, *[0] * extra)
    return _decode(data, page, values, size)


def _load_planes(data: bytes, page: _Page, size: tuple[int, int]) -> Samples:
    """Decode a page whose channels are separate, each as a grey page. Returns H×W×C."""
    planes = np.empty((size[1], size[0], page.samples), np.uint16 if page.is_deep else np.uint8)
    for channel in range(page.samples):
        values = _needed(page)
        values[BITS] = _short(page.layout, page.bits)
        values[SAMPLES] = values[PLANAR] = values[SAMPLE_FORMAT] = _short(page.layout, 1)
        values[PHOTOMETRIC] = _short(page.layout, BLACK_IS_ZERO)
        for tag in (*STRIPS, *TILES):
            if tag in page.tags:
                values[tag] = _share(data, page, page.tags[tag], channel)
        planes[..., channel] = _decode(data, page, values, size)[..., 0]
    if page.photometric == WHITE_IS_ZERO:
        np.subtract(255, planes[..., 0], out=planes[..., 0])
    return planes


def _share(data: bytes, page: _Page, entry: Entry, channel: int) -> _Value:
    """Return the part of a list of offsets or sizes that belongs to one channel."""
    count, rest = divmod(entry.count, page.samples)
    if rest or not count:
        raise Undecodable("the number of its strips does not fit the number of its channels")
    width = entry.size // entry.count
    at = entry.at + channel * count * width
    return _Value(entry.kind, count, data[at : at + count * width])


def _needed(page: _Page) -> dict[int, _Value]:
    return {tag: _Value(entry.kind, entry.count, None, entry.at) for tag, entry in page.tags.items() if tag in NEEDED}


def _short(layout: Layout, *values: int) -> _Value:
    return _Value(SHORT, len(values), struct.pack(f"{layout.order}{len(values)}H", *values))


def _decode(data: bytes, page: _Page, values: dict[int, _Value], size: tuple[int, int]) -> Samples:
    whole = b"".join(_with_directory(data, page.layout, values))
    loaded = load("tiffload_source", whole, size, high_bytes=not page.is_deep)
    for remark in (loaded.warning, *filter(HARMFUL.search, loaded.remarks)):
        if remark:
            raise failure(remark)
    return loaded.samples


def _with_directory(data: bytes, layout: Layout, values: dict[int, _Value]) -> list[bytes | memoryview]:
    """Return the parts of a file that has the data of this one, and a directory of these values as its first."""
    pad = -len(data) % 8
    base = len(data) + pad
    inline = struct.calcsize(layout.offset)
    appended, table = bytearray(), bytearray(struct.pack(layout.count, len(values)))
    for tag, value in sorted(values.items()):
        table += struct.pack(layout.entry, tag, value.kind, value.count)
        payload = value.payload
        if payload is None and SIZES.get(value.kind, 0) * value.count <= inline:
            payload = data[value.at : value.at + inline]
        if payload is None:
            table += struct.pack(layout.offset, value.at)
        elif len(payload) <= inline:
            table += payload.ljust(inline, b"\0")
        else:
            table += struct.pack(layout.offset, base + len(appended))
            appended += payload + bytes(-len(payload) % 8)
    table += bytes(inline)  # there is no next directory
    start = 8 if layout.big else 4
    head = data[:start] + struct.pack(layout.offset, base + len(appended))
    return [head, memoryview(data)[len(head) :], bytes(pad), bytes(appended), bytes(table)]


def _interpret(samples: NDArray[Any], page: _Page, about: Description) -> Raster:
    extra = page.samples - page.stored_colours
    if page.photometric == YCBCR:
        samples, extra = _rgb_of_ycbcr(samples, page), 0
    colours = samples.shape[2] - extra
    model: Model = "grey" if colours == 1 else page.model
    alpha = None
    if extra and page.alpha is not None:
        alpha = np.ascontiguousarray(high_bytes(samples[..., colours + page.alpha]))
    samples = np.ascontiguousarray(samples[..., :colours])
    if page.photometric == ICC_LAB:  # a and b plus 128
        samples[..., 1:] ^= 0x80
    if alpha is not None and ASSOCIATED in page.extra[: (page.alpha or 0) + 1]:
        samples = unpremultiply(samples, alpha)
    return Raster(samples, model, alpha, about)


def _rgb_of_ycbcr(samples: NDArray[np.uint8], page: _Page) -> NDArray[np.uint8]:
    """Return H×W×3 RGB. libvips converts YCbCr, to RGB or RGBA, unless it is neither JPEG nor subsampled."""
    if samples.shape[2] == 4 or page.compression == JPEG:
        return samples[..., :3]
    height, width = samples.shape[:2]
    image = Pillow.frombuffer("YCbCr", (width, height), np.ascontiguousarray(samples), "raw", "YCbCr", 0, 1)
    return np.asarray(image.convert("RGB"))


def _read_profile(data: bytes, page: _Page, about: Description) -> None:
    entry = page.tags.get(ICC_PROFILE)
    if entry is None:
        return
    profile = data[entry.at : entry.at + entry.size]
    if SIZES.get(entry.kind) != 1 or len(profile) != entry.size or entry.size > MAX_PROFILE_BYTES:
        about.warn("unusable_profile", "the colour profile is damaged: sRGB is assumed")
    else:
        about.icc = profile

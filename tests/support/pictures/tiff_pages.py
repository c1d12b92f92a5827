"""TIFF cases of several directories, of codecs that compress pictures, and of RAW layouts.

Source: TIFF 6.0, its Technical Note 1 (trees of directories), DNG 1.7 (Adobe), TIFF/EP for the layout of NEF.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from tests.support.pictures.case import LOSSY, ONE_LEVEL, Case, Tolerance, case, refused
from tests.support.pictures.colorimetry import to_ycbcr
from tests.support.pictures.jpeg import by_pillow
from tests.support.pictures.tiff_writer import BYTE, JPEG, LONG, MASK, SHORT, WEBP, YCBCR, Page, write_tiff
from tests.support.pictures.truth import grey, photo, rounded_to, to_depth

NEW_SUBFILE_TYPE, OLD_SUBFILE_TYPE, DNG_VERSION, JPEG_TABLES = 254, 255, 50706, 347
COLOUR_FILTER, LINEAR_RAW = 32803, 34892
SMALL = photo(16, 11)
SEVERAL = ("first_of_several",)


def cases() -> Iterator[Case]:
    yield from _thumbnails()
    yield from _several()
    yield from _raw()
    yield from _picture_codecs()
    yield from _fax()
    yield from _damaged()


def _page(samples: NDArray[Any], kind: int | None = None, **options: Any) -> Page:
    tags = {} if kind is None else {NEW_SUBFILE_TYPE: (LONG, kind)}
    return Page(samples, tags={**tags, **options.pop("tags", {})}, **options)


def _thumbnails() -> Iterator[Case]:
    old = {OLD_SUBFILE_TYPE: (SHORT, 2)}
    layouts: dict[str, list[Page]] = {
        "thumbnail-first": [_page(SMALL, 1), _page(photo(), 0)],
        "thumbnail-first-rest-unnamed": [_page(SMALL, 1), _page(photo())],
        "thumbnail-first-old-tag": [_page(SMALL, tags=old), _page(photo())],
        "two-thumbnails-first": [_page(SMALL, 1), _page(SMALL[:5], 1), _page(photo(), 0)],
        "thumbnail-last": [_page(photo(), 0), _page(SMALL, 1)],
        "thumbnail-with-main-as-sub": [_page(SMALL, 1, subpages=[_page(photo(), 0)])],
        "thumbnail-with-main-as-second-sub": [_page(SMALL, 1, subpages=[_page(SMALL[:5], 1), _page(photo(), 0)])],
        "main-with-pyramid-as-subs": [_page(photo(), subpages=[_page(SMALL, 1), _page(SMALL[:5], 1)])],
        "mask-first": [_page(_bits(), 4, bits=1, photometric=MASK), _page(photo(), 0)],
    }
    for name, pages in layouts.items():
        yield case(f"tiff/{name}", partial(write_tiff, pages), photo(), warnings=())
        yield case(f"tiff/{name}-big-be", partial(write_tiff, pages, ">", big=True), photo(), warnings=())
    only = [_page(photo(), 1)]
    yield case("tiff/nothing-but-a-thumbnail", partial(write_tiff, only), photo(), warnings=())
    deep = [_page(SMALL, 1), _page(to_depth(photo(), 16), 0, bits=16)]
    yield case("tiff/thumbnail-first-main-16bit", partial(write_tiff, deep), photo(), tolerance=ONE_LEVEL, warnings=())


def _bits() -> NDArray[np.uint32]:
    return to_depth(grey(), 1)[..., None]


def _several() -> Iterator[Case]:
    pages = [_page(photo()), _page(255 - photo()), _page(SMALL)]
    yield case("tiff/several-pages", partial(write_tiff, pages), photo(), warnings=SEVERAL)
    pages = [_page(photo(), 2), _page(255 - photo(), 2)]
    yield case("tiff/several-pages-named", partial(write_tiff, pages, ">"), photo(), warnings=SEVERAL)
    pages = [_page(SMALL, 1), _page(photo(), 0), _page(255 - photo(), 0)]
    yield case("tiff/several-after-a-thumbnail", partial(write_tiff, pages), photo(), warnings=SEVERAL)


def _raw() -> Iterator[Case]:
    kind, message = "invalid_file_type", "RAW"
    version = {DNG_VERSION: (BYTE, bytes([1, 4, 0, 0]))}
    mosaic = _page(to_depth(grey(), 16)[..., None], 0, bits=16, photometric=COLOUR_FILTER)
    linear = _page(to_depth(photo(), 16), 0, bits=16, photometric=LINEAR_RAW)
    preview = _page(photo(), 1)
    layouts = {
        "dng": [_page(SMALL, 1, tags=version, subpages=[mosaic, preview])],
        "dng-linear": [_page(SMALL, 1, tags=version, subpages=[linear])],
        "dng-mosaic-first": [_page(mosaic.samples, 0, bits=16, photometric=COLOUR_FILTER, tags=version)],
        "nef": [_page(SMALL, 1, subpages=[preview, mosaic])],
        "mosaic-alone": [mosaic],
    }
    for name, pages in layouts.items():
        yield refused(f"tiff/{name}", partial(write_tiff, pages), kind, message)


def _picture_codecs() -> Iterator[Case]:
    yield case("tiff/jpeg-grey", partial(write_tiff, [strips_of_jpeg(grey()[..., None])]), grey(), tolerance=LOSSY)
    full = _with(strips_of_jpeg(photo(), subsampling=0), {530: (SHORT, [1, 1])})
    yield case("tiff/jpeg-ycbcr-444", partial(write_tiff, [full]), photo(), tolerance=LOSSY)
    halved = _with(strips_of_jpeg(photo(), subsampling=2), {530: (SHORT, [2, 2])})
    yield case("tiff/jpeg-ycbcr-420", partial(write_tiff, [halved], ">"), photo(), tolerance=LOSSY)
    tables = _with(_abbreviated(photo()), {530: (SHORT, [1, 1])})
    yield case("tiff/jpeg-shared-tables", partial(write_tiff, [tables]), photo(), tolerance=LOSSY)

    def webp(rows: NDArray[Any]) -> bytes:
        buffer = BytesIO()
        Pillow.fromarray(rows).save(buffer, "WEBP", lossless=True, exact=True)
        return buffer.getvalue()

    yield case("tiff/webp", partial(write_tiff, [Page(photo(), compression=WEBP, encode=webp)]), photo())
    for across, down in ((1, 1), (2, 1), (2, 2)):
        built = partial(write_tiff, [_subsampled(across, down)])
        yield case(f"tiff/ycbcr-{across}x{down}", built, photo(), tolerance=Tolerance(100, 4))
    old = Page(photo(), compression=6, photometric=YCBCR, encode=lambda rows: by_pillow(rows))
    yield refused("tiff/jpeg-old-style", partial(write_tiff, [old]), "invalid_file_type")
    unknown = Page(photo(), compression=34712, encode=lambda rows: rows.tobytes())
    yield refused("tiff/compression-jpeg-2000", partial(write_tiff, [unknown]), "invalid_file_type")


def strips_of_jpeg(picture: NDArray[np.uint8], **options: Any) -> Page:
    """Return a page whose strips are whole JPEG files, grey or YCbCr at half resolution."""

    def encode(rows: NDArray[Any]) -> bytes:
        return by_pillow(np.squeeze(rows), quality=95, **options)

    colour = picture.shape[2] == 3
    tags = {530: (SHORT, [2, 2])} if colour else {}
    return Page(picture, encode=encode, compression=JPEG, photometric=YCBCR if colour else 1, tags=tags)


def _with(page: Page, tags: dict[int, Any]) -> Page:
    return Page(**{**page.__dict__, "tags": {**page.tags, **tags}})


def _abbreviated(picture: NDArray[np.uint8]) -> Page:
    """Return a page whose strips leave out the tables, which all of them share in the tag JPEGTables."""
    whole = by_pillow(picture[:16], subsampling=0)
    tables = b"".join(_segments(whole, {0xDB, 0xC4}))

    def encode(rows: NDArray[Any]) -> bytes:
        file = by_pillow(rows, subsampling=0)
        rest = b"".join(_segments(file, {0xC0, 0xDD}))
        return b"\xff\xd8" + rest + file[file.index(b"\xff\xda") :]

    tags = {JPEG_TABLES: (7, b"\xff\xd8" + tables + b"\xff\xd9")}
    return Page(picture, encode=encode, compression=JPEG, photometric=YCBCR, tags=tags)


def _segments(file: bytes, kinds: set[int]) -> Iterator[bytes]:
    at = 2
    while file[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(file[at + 2 : at + 4], "big")
        if file[at + 1] in kinds:
            yield file[at:end]
        at = end


def _subsampled(across: int, down: int) -> Page:
    """Return an uncompressed YCbCr page: each data unit is a block of luma, then one Cb and one Cr."""

    def encode(rows: NDArray[Any]) -> bytes:
        height, width, _ = rows.shape
        padded = np.pad(rows, ((0, -height % down), (0, -width % across), (0, 0)), mode="edge")
        units = padded.reshape(padded.shape[0] // down, down, padded.shape[1] // across, across, 3).swapaxes(1, 2)
        luma = units[..., 0].reshape(*units.shape[:2], -1)
        chroma = units[..., 1:].mean(axis=(2, 3)).round().astype(np.uint8)
        return np.concatenate([luma, chroma], axis=-1).astype(np.uint8).tobytes()

    tags: dict[int, Any] = {
        530: (SHORT, [across, down]),
        532: (5, [(0, 1), (255, 1), (128, 1), (255, 1), (128, 1), (255, 1)]),
    }
    return Page(to_ycbcr(photo()), photometric=YCBCR, encode=encode, tags=tags)


def _fax() -> Iterator[Case]:
    black = Pillow.fromarray(rounded_to(grey(), 1)).convert("1")
    for name in ("group3", "group4", "tiff_ccitt"):
        yield case(f"tiff/fax-{name.replace('_', '-')}", partial(_saved, black, name), rounded_to(grey(), 1))


def _saved(image: Pillow.Image, compression: str) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "TIFF", compression=compression)
    return buffer.getvalue()


def _damaged() -> Iterator[Case]:
    code = "failed_to_read_image"
    for name, compression in {"none": 1, "lzw": 5, "deflate": 8}.items():
        file = write_tiff([Page(photo(), compression=compression)])
        directory_first = _directory_first(photo(), compression)
        yield refused(f"tiff/cut-in-half-{name}", lambda file=file: file[: len(file) // 2], code)
        cut = directory_first[: len(directory_first) * 8 // 10]
        yield refused(f"tiff/strips-cut-{name}", lambda cut=cut: cut, code)
        missing = {273: (LONG, [8, 8]), 279: (LONG, [0, 0])}
        built = partial(write_tiff, [Page(photo(), compression=compression, tags=missing)])
        yield refused(f"tiff/strips-missing-{name}", built, code)
    trailing = write_tiff([Page(photo())]) + b"trailing" * 30
    yield case("tiff/bytes-after-the-end", lambda: trailing, photo())


def _directory_first(picture: NDArray[np.uint8], compression: int) -> bytes:
    """Return a file whose directory lies before its strips, so that a cut takes rows only."""
    probe = write_tiff([Page(picture, compression=compression, rows_per_strip=picture.shape[0])])
    start = int.from_bytes(probe[4:8], "little")
    strip, directory = probe[8:start], bytearray(probe[start:])
    moved = 8 + len(directory)
    for at in range(2, len(directory) - 4, 12):
        tag = int.from_bytes(directory[at : at + 2], "little")
        if tag == 273:
            directory[at + 8 : at + 12] = moved.to_bytes(4, "little")
        elif tag == 258:  # the depths of three channels lie outside, before the directory
            directory[at + 8 : at + 12] = (moved + len(strip) - 6).to_bytes(4, "little")
    return b"II*\0\x08\0\0\0" + bytes(directory) + strip

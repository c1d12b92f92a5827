"""The files that mutants are made of: pictures of ordinary size in all formats, each with what it shows."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from tests.support.pictures import avif, bmp, gif, heic, jpeg, jpeg2000, png, webp
from tests.support.pictures.orientations import exif
from tests.support.pictures.profiles import rgb_profile
from tests.support.pictures.tiff_pages import strips_of_jpeg
from tests.support.pictures.tiff_writer import DEFLATE, LZW, PALETTE, RGB, Page, write_tiff
from tests.support.pictures.truth import grey, matte, palette_of, photo, to_depth

WIDTH, HEIGHT = 480, 320
SMALL = (160, 110)  # for what is slow to write


@cache
def texture(width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Return u8 H×W×3: the photo with coarse grain, so that every part of a file carries something."""
    grain = np.random.default_rng(5).integers(-24, 25, (height // 4 + 1, width // 4 + 1, 3))
    coarse = np.repeat(np.repeat(grain, 4, axis=0), 4, axis=1)[:height, :width]
    pixels: NDArray[np.uint8] = np.clip(photo(width, height) + coarse, 0, 255).astype(np.uint8)
    pixels.flags.writeable = False
    return pixels


def rgba(width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    return np.dstack([texture(width, height), matte(width, height)])


def _index(colours: int) -> NDArray[np.uint8]:
    levels = texture().astype(int).sum(axis=2)
    return (levels * colours // (3 * 255 + 1)).astype(np.uint8)


def _jpeg(**options: Any) -> bytes:
    return jpeg.by_pillow(texture(), quality=85, **options)


def _png(samples: NDArray[Any], bits: int, colour_type: int, **options: Any) -> bytes:
    return png.png(samples, bits, colour_type, filters=[1, 2, 3, 4, 0], idat_bytes=16_384, **options)


def _tiff(*pages: Page, order: str = "<", big: bool = False) -> bytes:
    return write_tiff(pages, order, big=big)


def _palette_page() -> Page:
    tags = {320: (3, (palette_of(256).T.astype(int) * 257).ravel().tolist())}
    return Page(_index(256)[..., None], photometric=PALETTE, compression=LZW, tags=tags)


def _gif_of(*frames: gif.Frame) -> bytes:
    return gif.gif(frames, 7, screen=(WIDTH, HEIGHT))


def _animated_webp() -> bytes:
    frames = {"save_all": True, "append_images": [Pillow.fromarray(255 - texture())], "lossless": True}
    return webp.webp(texture(), **frames)


def _bmp_runs() -> bytes:
    index = (_index(16) // 1).astype(np.uint8)
    return bmp.bmp(bmp.runs(index[:, :240], 8), 8, compression=bmp.RLE8, palette=palette_of(256), size=(240, HEIGHT))


BUILDERS: dict[str, Callable[[], bytes]] = {
    "jpeg/420": _jpeg,
    "jpeg/444-restarts": partial(_jpeg, subsampling=0, restart_marker_rows=1),
    "jpeg/progressive": partial(_jpeg, progressive=True),
    "jpeg/described": partial(_jpeg, exif=b"Exif\0\0" + exif(6), icc_profile=rgb_profile("p3")),
    "jpeg/grey": lambda: jpeg.by_pillow(grey(WIDTH, HEIGHT)),
    "jpeg/cmyk": lambda: jpeg.write_jpeg(jpeg.planes(rgba(*SMALL)), segments=jpeg.adobe(0), step=6),
    "png/rgb": lambda: _png(texture(), 8, png.RGB),
    "png/rgba-adam7": lambda: _png(rgba(), 8, png.RGBA, interlaced=True),
    "png/palette-trns": lambda: _png(
        _index(200)[..., None],
        8,
        png.PALETTE,
        chunks=[(b"PLTE", palette_of(200).tobytes()), (b"tRNS", bytes(range(200)))],
    ),
    "png/grey-16bit": lambda: _png(to_depth(grey(WIDTH, HEIGHT), 16)[..., None], 16, png.GREY),
    "png/described": lambda: _png(
        texture(), 8, png.RGB, chunks=[(b"cICP", png.P3_FULL_RANGE), (b"eXIf", exif(3)), (b"tEXt", b"Title\0x")]
    ),
    "webp/lossy": lambda: webp.webp(texture(), quality=85),
    "webp/lossless": lambda: webp.webp(texture(), lossless=True),
    "webp/lossy-alpha": lambda: webp.webp(rgba(), quality=85, exif=exif(6)),
    "webp/animated": _animated_webp,
    "avif/420": lambda: avif.avif(texture(), quality=80, subsampling="4:2:0"),
    "avif/alpha": lambda: avif.avif(rgba(), quality=80, exif=exif(6)),
    "avif/sequence": lambda: avif.avif(
        texture(*SMALL), quality=70, save_all=True, append_images=[Pillow.fromarray(255 - texture(*SMALL))]
    ),
    "heic/420": lambda: heic.heic(texture(), quality=80, chroma=420),
    "heic/alpha": lambda: heic.heic(rgba(*SMALL), quality=80, exif=exif(6)),
    "heic/several": lambda: heic.heic(texture(*SMALL), 255 - texture(*SMALL), quality=80),
    "tiff/lzw-predictor": lambda: _tiff(Page(texture(), compression=LZW, predictor=2)),
    "tiff/tiles-deflate-be": lambda: _tiff(Page(texture(), compression=DEFLATE, tile=(64, 64)), order=">"),
    "tiff/rgba-16bit": lambda: _tiff(Page(to_depth(rgba(), 16), 16, RGB, tags={338: (3, 2)})),
    "tiff/planar-big": lambda: _tiff(Page(texture(), planar=True), big=True),
    "tiff/palette": lambda: _tiff(_palette_page()),
    "tiff/jpeg": lambda: _tiff(strips_of_jpeg(texture())),
    "tiff/thumbnail-first": lambda: _tiff(
        Page(texture(32, 20), tags={254: (4, 1)}), Page(texture(), compression=LZW, rows_per_strip=64)
    ),
    "gif/still": lambda: _gif_of(gif.Frame(_index(128))),
    "gif/interlaced-transparent": lambda: _gif_of(gif.Frame(_index(128), interlaced=True, transparent=40)),
    "gif/animated": lambda: _gif_of(gif.Frame(_index(128)), gif.Frame(127 - _index(128), 5, 7)),
    "bmp/24bit": lambda: bmp.bmp(bmp.packed_rows(texture()[..., ::-1], 8), 24, size=(WIDTH, HEIGHT)),
    "bmp/8bit": lambda: bmp.bmp(
        bmp.packed_rows(_index(256), 8), 8, palette=palette_of(256), size=(WIDTH, HEIGHT), header="v4"
    ),
    "bmp/runs": _bmp_runs,
    "jpeg2000/reversible": lambda: jpeg2000.jpeg2000(texture()),
    "jpeg2000/irreversible": lambda: jpeg2000.jpeg2000(
        texture(), irreversible=True, quality_mode="rates", quality_layers=[12]
    ),
    "jpeg2000/bare-tiles": lambda: jpeg2000.jpeg2000(texture(), no_jp2=True, tile_size=(128, 128)),
}


@cache
def original(name: str) -> bytes:
    return BUILDERS[name]()

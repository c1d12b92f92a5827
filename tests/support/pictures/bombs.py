"""Small files that ask for much: time, memory, steps. Each is decoded or refused by name within the limits.

A `Bomb` says which outcomes are fine: `ok`, or error codes. None of them may end a decoder.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from tests.support.pictures.avif import avif
from tests.support.pictures.bmp import RLE8, bmp
from tests.support.pictures.gif import Frame, gif
from tests.support.pictures.jpeg import by_pillow
from tests.support.pictures.jpeg2000 import jpeg2000
from tests.support.pictures.jpeg_writer import segment
from tests.support.pictures.lzw import gif_lzw
from tests.support.pictures.png import SIGNATURE, chunk, png
from tests.support.pictures.truth import palette_of, photo
from tests.support.pictures.webp import webp

TOO_HIGH, DAMAGED, UNKNOWN = "resolution_too_high", "failed_to_read_image", "invalid_file_type"
REFUSED = (DAMAGED, UNKNOWN, TOO_HIGH)
ANY = ("ok", *REFUSED)
SIDE = 7_000  # 49 megapixels, just within the default limit
LONG = 29_000_000  # bytes, just within the default limit


@dataclass(frozen=True)
class Bomb:
    name: str
    build: Callable[[], bytes]
    outcomes: tuple[str, ...]


def bombs() -> Iterator[Bomb]:
    for make in (_png, _gif, _jpeg, _tiff, _webp, _boxes, _bmp, _jpeg2000):
        yield from make()


def zeros(megabytes: int) -> bytes:
    """Return a deflated stream of zeros, 1,000 times smaller, without the time that compressing them would take."""
    squeeze = zlib.compressobj(9)
    first = squeeze.compress(bytes(1_000_000)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    block = squeeze.compress(bytes(1_000_000)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    return first + block * (megabytes - 1) + squeeze.flush()


def png_of(width: int, height: int, *chunks: tuple[bytes, bytes], bits: int = 8, colour_type: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", header) + b"".join(chunk(*each) for each in chunks) + chunk(b"IEND", b"")


def _png() -> Iterator[Bomb]:
    flat = zeros(3 * SIDE * (SIDE + 1) // 1_000_000 + 1)
    yield Bomb("png/49-megapixels", partial(png_of, SIDE, SIDE, (b"IDAT", flat)), ("ok",))
    yield Bomb(
        "png/49-megapixels-16bit-rgba", partial(png_of, SIDE, SIDE, (b"IDAT", zeros(400)), bits=16, colour_type=6), ANY
    )
    interlaced = SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 1))
    yield Bomb("png/49-megapixels-adam7", lambda: interlaced + chunk(b"IDAT", zeros(160)) + chunk(b"IEND", b""), ANY)
    yield Bomb("png/400-megapixels", partial(png_of, 20_000, 20_000, (b"IDAT", flat)), (TOO_HIGH,))
    yield Bomb("png/largest-sides", partial(png_of, 2**31 - 1, 2**31 - 1, (b"IDAT", flat)), (TOO_HIGH,))
    plain = png(photo(), 8, 2)
    head, rest = plain[:33], plain[33:]
    yield Bomb("png/100000-texts", lambda: head + chunk(b"tEXt", b"k\0v") * 100_000 + rest, ANY)
    yield Bomb("png/1000000-empty-chunks", lambda: head + chunk(b"prVt", b"") * 1_000_000 + rest, ANY)
    yield Bomb("png/300000-empty-idats", lambda: head + chunk(b"IDAT", b"") * 300_000 + rest, ANY)
    yield Bomb("png/text-of-10-gb", lambda: head + chunk(b"zTXt", b"k\0\0" + zeros(10_000)) + rest, ANY)
    yield Bomb("png/xmp-of-10-gb", lambda: head + chunk(b"iTXt", b"k\0\1\0\0\0" + zeros(10_000)) + rest, ANY)
    yield Bomb("png/profile-of-10-gb", lambda: head + chunk(b"iCCP", b"k\0\0" + zeros(10_000)) + rest, ANY)
    yield Bomb("png/200-texts-of-100-mb", lambda: head + chunk(b"zTXt", b"k\0\0" + zeros(100)) * 200 + rest, ANY)
    yield Bomb("png/rows-and-10-gb-more", partial(png_of, 8, 8, (b"IDAT", zeros(10_000))), ANY)
    frames = b"".join(
        chunk(b"fcTL", struct.pack(">IIIIIHHBB", 2 * k, 61, 43, 0, 0, 1, 10, 0, 0))
        + chunk(b"fdAT", struct.pack(">I", 2 * k + 1) + zlib.compress(bytes(43 * 184)))
        for k in range(50_000)
    )
    control = chunk(b"acTL", struct.pack(">II", 50_000, 0))
    yield Bomb("png/50000-frames", lambda: head + control + rest[:-12] + frames + rest[-12:], ANY)


def _gif() -> Iterator[Bomb]:
    dot = np.zeros((1, 1), np.uint8)
    small = gif([Frame(dot)], 1, screen=(1, 1))
    head, frame = small[:19], small[19:-1]
    yield Bomb("gif/50000-frames", lambda: head + frame * 50_000 + b";", ("ok",))
    yield Bomb("gif/1000000-frames", lambda: head + frame * 1_000_000 + b";", ANY)
    yield Bomb("gif/dot-on-49-megapixels", partial(gif, [Frame(dot)], 1, screen=(SIDE, SIDE)), ANY)
    yield Bomb("gif/dot-on-largest-screen", partial(gif, [Frame(dot)], 1, screen=(65535, 65535)), ANY)
    yield Bomb("gif/frame-larger-than-screen", partial(_gif_frame, 65535, 65535), REFUSED)
    comment = b"!\xfe" + (b"\xff" + bytes(255)) * 100_000 + b"\0"
    yield Bomb("gif/comment-of-25-mb", lambda: head + comment + frame + b";", ANY)
    yield Bomb("gif/5000000-empty-extensions", lambda: head + b"!\xfe\0" * 5_000_000 + frame + b";", ANY)


def _gif_frame(width: int, height: int) -> bytes:
    """Return a 1×1 screen whose frame claims another size."""
    data = gif_lzw(bytes(64), 2)
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0xF0, 0, 0) + palette_of(2).tobytes()
    return head + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02" + bytes([len(data)]) + data + b"\0;"


def _jpeg() -> Iterator[Bomb]:
    for size in (64_000, 1_000_000, LONG):
        yield Bomb(f"jpeg/run-of-ff-{size}", partial(bytes.__add__, b"\xff\xd8\xff", b"\xff" * size), REFUSED)
    plain = by_pillow(photo())
    frame = plain.index(b"\xff\xc0")
    for size in (64_000, LONG - len(plain)):
        yield Bomb(f"jpeg/fill-bytes-{size}", partial(_put, plain, frame, b"\xff" * size), ANY)
    yield Bomb("jpeg/7000000-empty-segments", partial(_put, plain, frame, segment(0xE5, b"") * 7_000_000), ANY)
    yield Bomb("jpeg/400-segments-of-64-kb", partial(_put, plain, frame, segment(0xE5, bytes(65_000)) * 400), ANY)
    tables = segment(0xDB, b"\0" + bytes([16] * 64))
    yield Bomb("jpeg/400000-quantisers", partial(_put, plain, frame, tables * 400_000), ANY)
    yield Bomb("jpeg/5000-scans-of-0.1-megapixels", partial(_scans, 400, 300, 5_000), ANY)
    yield Bomb("jpeg/5000-scans-of-1.5-megapixels", partial(_scans, 1500, 1000, 5_000), ANY)
    yield Bomb("jpeg/200-scans-of-48-megapixels", partial(_scans, 8_000, 6_000, 200), ANY)
    yield Bomb("jpeg/48-megapixels-without-data", partial(_enlarged, plain, 8_000, 6_000), REFUSED)
    yield Bomb("jpeg/largest-sides", partial(_enlarged, plain, 65_500, 65_500), (TOO_HIGH,))
    profile = b"".join(segment(0xE2, b"ICC_PROFILE\0" + bytes([k, 255]) + bytes(65_500)) for k in range(1, 256))
    yield Bomb("jpeg/profile-of-16-mb", partial(_put, plain, 2, profile), ANY)


def _put(file: bytes, at: int, inserted: bytes) -> bytes:
    return file[:at] + inserted + file[at:]


def _scans(width: int, height: int, count: int) -> bytes:
    """Repeat the last refinement of a flat progressive picture: a few bytes a scan, all pixels of work."""
    flat = by_pillow(np.full((height, width, 3), 90, np.uint8), progressive=True, quality=50)
    last = flat.rindex(b"\xff\xda")
    return flat[:last] + flat[last:-2] * count + b"\xff\xd9"


def _enlarged(file: bytes, width: int, height: int) -> bytes:
    frame = file.index(b"\xff\xc0")
    return file[: frame + 5] + struct.pack(">HH", height, width) + file[frame + 9 :]


def _tiff() -> Iterator[Bomb]:
    yield Bomb("tiff/3000000-strips", partial(tiff_of, 10, 3_000_000, {278: 1}, 3_000_000, bytes(30)), ANY)
    yield Bomb(
        "tiff/1500000-strips-deflated",
        partial(tiff_of, 30, 1_500_000, {278: 1, 259: 8}, 1_500_000, zlib.compress(bytes(90))),
        ANY,
    )
    yield Bomb("tiff/1500000-tiles-of-1x1", partial(tiff_of, 1500, 1000, {322: 1, 323: 1}, 1_500_000, bytes(3)), ANY)
    yield Bomb(
        "tiff/190000-tiles-of-16x16", partial(tiff_of, 6976, 6976, {322: 16, 323: 16}, 436 * 436, bytes(768)), ANY
    )
    yield Bomb(
        "tiff/tile-of-49-megapixels", partial(tiff_of, 16, 16, {322: 7008, 323: 7008, 259: 8}, 1, zeros(150)), ANY
    )
    yield Bomb("tiff/strip-of-10-gb", partial(tiff_of, 61, 43, {278: 43, 259: 8}, 1, zeros(10_000)), ANY)
    yield Bomb("tiff/49-megapixels-in-one-strip", partial(tiff_of, SIDE, SIDE, {278: SIDE, 259: 8}, 1, zeros(148)), ANY)
    yield Bomb("tiff/largest-sides", partial(tiff_of, 2**32 - 1, 2**32 - 1, {278: 43}, 1, bytes(99)), REFUSED)
    plain = tiff_of(61, 43, {278: 43}, 1, bytes(61 * 43 * 3))
    directory = struct.unpack_from("<I", plain, 4)[0]
    link = directory + 2 + 12 * struct.unpack_from("<H", plain, directory)[0]
    looped = plain[:link] + struct.pack("<I", directory) + plain[link + 4 :]
    yield Bomb("tiff/directory-links-to-itself", lambda: looped, ANY)
    yield Bomb(
        "tiff/sub-directory-is-the-directory", partial(tiff_of, 61, 43, {278: 43, 254: 1, 330: 8}, 1, bytes(9000)), ANY
    )
    yield Bomb("tiff/60000-directories", partial(_many_directories, plain, 60_000), ANY)
    yield Bomb("tiff/65535-entries", partial(_many_entries, 65_535), ANY)
    counted = {278: 43, 270: ("count", 2**32 - 1)}
    yield Bomb("tiff/text-of-4-gb-claimed", partial(tiff_of, 61, 43, counted, 1, bytes(9000)), ANY)
    yield Bomb("tiff/65535-samples", partial(tiff_of, 61, 43, {278: 43, 277: 65535}, 1, bytes(9000)), ANY)


def tiff_of(width: int, height: int, tags: dict[int, object], count: int, block: bytes) -> bytes:
    """Return an RGB file all of whose strips or tiles are the same block. The directory begins at byte 8."""
    tiled = 322 in tags
    table = {256: width, 257: height, 259: 1, 262: 2, 277: 3, **tags}
    place, length = (324, 325) if tiled else (273, 279)
    size = 2 + 12 * (len(table) + 3) + 4
    first = 8 + size
    blocks_at = first + 6 + 8 * count
    table = {
        **table,
        258: ("at", first, 3),
        place: ("at", first + 6, count),
        length: ("at", first + 6 + 4 * count, count),
    }
    if count == 1:
        table |= {place: blocks_at, length: len(block)}
    out = b"II*\0\x08\0\0\0" + struct.pack("<H", len(table))
    for tag, value in sorted(table.items()):
        match value:
            case ("at", int(at), int(values)):
                out += struct.pack("<HHII", tag, 3 if tag == 258 else 4, values, at)
            case ("count", int(values)):
                out += struct.pack("<HHII", tag, 2, values, 0)
            case int(number):
                out += struct.pack("<HHII", tag, 4, 1, number)
    arrays = np.full(count, blocks_at, "<u4").tobytes() + np.full(count, len(block), "<u4").tobytes()
    return out + bytes(4) + struct.pack("<HHH", 8, 8, 8) + arrays + block


def _many_directories(plain: bytes, count: int) -> bytes:
    """Chain thumbnails before the picture."""
    head, one = b"II*\0", struct.pack("<H", 1) + struct.pack("<HHII", 254, 4, 1, 1)
    chain = b"".join(one + struct.pack("<I", 8 + 18 * (k + 1)) for k in range(count))
    return head + struct.pack("<I", 8) + chain


def _many_entries(count: int) -> bytes:
    entries = b"".join(struct.pack("<HHII", tag, 3, 1, 1) for tag in range(count))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", count) + entries + bytes(4)


def _webp() -> Iterator[Bomb]:
    flat = partial(webp, np.full((3_000, 16_383, 3), 90, np.uint8), lossless=True)
    yield Bomb("webp/49-megapixels", flat, ("ok",))
    size = (16_383).to_bytes(3, "little") * 2
    canvas = b"VP8X\x0a\0\0\0\0\0\0\0" + size
    yield Bomb("webp/canvas-of-268-megapixels", lambda: b"RIFF" + struct.pack("<I", 22) + b"WEBP" + canvas, (TOO_HIGH,))
    plain = webp(photo(), lossless=True)[12:]
    vp8x = b"VP8X\x0a\0\0\0\x02\0\0\0" + (60).to_bytes(3, "little") + (42).to_bytes(3, "little")
    frame = bytes(6) + vp8x[12:] + bytes(3) + b"\x02" + plain
    frame = b"ANMF" + struct.pack("<I", len(frame)) + frame
    anim = b"ANIM\x06\0\0\0" + bytes(6)
    yield Bomb("webp/10000-frames", lambda: _riff(vp8x + anim + frame * 10_000), ANY)
    yield Bomb("webp/3000000-empty-chunks", lambda: _riff(vp8x + b"JUNK\0\0\0\0" * 3_000_000 + plain), ANY)


def _riff(body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _boxes() -> Iterator[Bomb]:
    plain = avif(photo())
    start = struct.unpack_from(">I", plain)[0]
    brand = {"avif": plain[:start], "heic": plain[:start].replace(b"avif", b"heic").replace(b"avis", b"heic")}
    empty = b"\0\0\0\x08free"
    for name, head in brand.items():
        yield Bomb(f"{name}/3000000-boxes", partial(_joined, head, empty * 3_000_000, plain[start:]), ANY)
        yield Bomb(f"{name}/100000-boxes-deep", partial(_deep, head, 100_000), REFUSED)
        yield Bomb(f"{name}/3000000-boxes-in-meta", partial(_meta, head, empty * 3_000_000), REFUSED)
        yield Bomb(
            f"{name}/3000000-properties", partial(_meta, head, _box(b"iprp", _box(b"ipco", empty * 3_000_000))), REFUSED
        )
        items = b"\0\0\0\0\x44\0" + struct.pack(">H", 65_535) + struct.pack(">HHH", 1, 0, 65_535) * 65_535
        yield Bomb(f"{name}/65535-items-of-65535-extents", partial(_meta, head, _box(b"iloc", items)), REFUSED)
    yield Bomb("avif/box-of-length-0", partial(_joined, brand["avif"], b"\0\0\0\0free"), REFUSED)
    yield Bomb("avif/claims-2600-megapixels", partial(_claimed, plain, 61_000, 43_000), REFUSED)
    yield Bomb("avif/claims-49-megapixels", partial(_claimed, plain, 7_000, 7_000), ANY)  # libavif enlarges it
    flat = partial(avif, np.full((6_000, 8_000, 3), 90, np.uint8), quality=30, subsampling="4:2:0", max_threads=2)
    yield Bomb("avif/48-megapixels", flat, ("ok",))


def _claimed(plain: bytes, width: int, height: int) -> bytes:
    """Change the extent that the container states; the coded picture keeps its own."""
    extent = b"ispe" + bytes(4)
    return plain.replace(extent + struct.pack(">II", 61, 43), extent + struct.pack(">II", width, height))


def _joined(*parts: bytes) -> bytes:
    return b"".join(parts)


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + kind + body


def _meta(head: bytes, inside: bytes) -> bytes:
    return head + _box(b"meta", bytes(4) + inside)


def _deep(head: bytes, levels: int) -> bytes:
    """Nest `meta` in `meta`, each 12 bytes of header."""
    return head + b"".join(struct.pack(">I4sI", 12 * (levels - k), b"meta", 0) for k in range(levels))


def _bmp() -> Iterator[Bomb]:
    rows = bytes(184 * 43)
    plain = bmp(rows, 24)
    yield Bomb("bmp/49-megapixels-without-data", partial(bmp, rows, 24, size=(SIDE, SIDE)), REFUSED)
    palette = palette_of(256)
    yield Bomb(
        "bmp/49-megapixels-of-runs",
        partial(
            bmp, (b"\xff\0" * 28 + b"\0\0") * SIDE + b"\0\1", 8, compression=RLE8, palette=palette, size=(SIDE, SIDE)
        ),
        ANY,
    )
    yield Bomb(
        "bmp/49-megapixels-ended-at-once",
        partial(bmp, b"\0\1", 8, compression=RLE8, palette=palette, size=(SIDE, SIDE)),
        ANY,
    )
    yield Bomb(
        "bmp/29-mb-of-empty-runs", partial(bmp, b"\0\2\0\0" * 7_000_000, 8, compression=RLE8, palette=palette), REFUSED
    )
    yield Bomb("bmp/largest-sides", partial(bmp, rows, 24, size=(2**31 - 1, 2**31 - 1)), REFUSED)
    yield Bomb("bmp/lowest-height", lambda: plain[:22] + struct.pack("<i", -(2**31)) + plain[26:], REFUSED)
    yield Bomb("bmp/rows-at-4-gb", lambda: plain[:10] + struct.pack("<I", 2**32 - 1) + plain[14:], REFUSED)
    yield Bomb("bmp/palette-of-4-billion", lambda: plain[:46] + struct.pack("<I", 2**32 - 1) + plain[50:], ANY)


def _jpeg2000() -> Iterator[Bomb]:
    bare = jpeg2000(photo(), no_jp2=True)
    at = bare.index(b"\xff\x51") + 6  # Xsiz, Ysiz, then offsets, and the tile's size and offset
    sized = partial(_sized, bare, at)
    yield Bomb("jpeg2000/49-megapixels-without-data", partial(sized, SIDE, SIDE, SIDE, SIDE), REFUSED)
    yield Bomb("jpeg2000/largest-sides", partial(sized, 2**32 - 1, 2**32 - 1, 2**32 - 1, 2**32 - 1), REFUSED)
    yield Bomb("jpeg2000/1500000-tiles", partial(sized, 1500, 1000, 1, 1), REFUSED)
    many = bare[: at + 32] + struct.pack(">H", 16_384) + b"\x07\1\1" * 16_384 + bare[at + 34 + 9 :]
    yield Bomb(
        "jpeg2000/16384-components",
        lambda: many[: at - 2 - 2] + struct.pack(">H", 38 + 3 * 16_384) + many[at - 2 :],
        REFUSED,
    )


def _sized(bare: bytes, at: int, width: int, height: int, tile_width: int, tile_height: int) -> bytes:
    sizes = struct.pack(">8I", width, height, 0, 0, tile_width, tile_height, 0, 0)
    return bare[:at] + sizes + bare[at + 32 :]

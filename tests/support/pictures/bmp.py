"""BMP cases, written field by field. Source: Microsoft's BITMAPINFOHEADER, BITMAPV4HEADER and BITMAPV5HEADER."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.pictures.case import Case, Tolerance, case, refused
from tests.support.pictures.truth import (
    HEIGHT,
    WIDTH,
    indices,
    matte,
    pack_bits,
    palette_of,
    photo,
    rounded_to,
    to_depth,
)

PLAIN, RLE8, RLE4, BITFIELDS, JPEG, PNG = range(6)
SIZES = {"core": 12, "info": 40, "v4": 108, "v5": 124}
MASKS_888 = (0xFF0000, 0xFF00, 0xFF, 0)
MASKS_8888 = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)


def bmp(
    rows: bytes,
    bits: int,
    *,
    header: str = "info",
    compression: int = PLAIN,
    palette: NDArray[np.uint8] | None = None,
    masks: Sequence[int] | None = None,
    top_down: bool = False,
    gap: int = 0,
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> bytes:
    """Write a file around packed rows. A header of 40 bytes has its masks behind it, the longer ones inside."""
    width, height = size
    table = b""
    if palette is not None:
        entries = palette[:, ::-1]
        table = (entries if header == "core" else np.pad(entries, ((0, 0), (0, 1)))).astype(np.uint8).tobytes()
    if header == "core":
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        count = 0 if palette is None else len(palette)
        info = struct.pack("<IiiHH", SIZES[header], width, -height if top_down else height, 1, bits)
        info += struct.pack("<IIiiII", compression, len(rows), 2835, 2835, count, 0)
        packed = struct.pack("<4I", *(masks or (0, 0, 0, 0)))
        if header == "info":
            info += packed[:12] if compression == BITFIELDS else b""
        else:
            info = (info + packed + b"BGRs").ljust(SIZES[header], b"\0")
    start = 14 + len(info) + len(table) + gap
    return struct.pack("<2sIHHI", b"BM", start + len(rows), 0, 0, start) + info + table + bytes(gap) + rows


def packed_rows(samples: NDArray[Any], bits: int, *, top_down: bool = False) -> bytes:
    """Pack H×W×channels, last row first; each row is padded to four bytes. 16-bit samples are little-endian."""
    flat = samples.reshape(samples.shape[0], -1)
    rows = np.frombuffer(pack_bits(flat, bits, little_bytes=True), np.uint8).reshape(samples.shape[0], -1)
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    return (padded if top_down else padded[::-1]).tobytes()


def runs(index: NDArray[np.uint8], bits: int) -> bytes:
    """Compress by run lengths: runs, absolute parts and ends of lines are all used."""
    out = bytearray()
    for number, row in enumerate(index[::-1].tolist()):
        out += (_absolute if number % 2 else _encoded)(row, bits)
        out += b"\0\0"
    return bytes(out[:-2]) + b"\0\1"


def _encoded(row: list[int], bits: int) -> bytes:
    out, at = bytearray(), 0
    while at < len(row):
        run = 1
        while at + run < len(row) and row[at + run] == row[at] and run < 255:
            run += 1
        out += bytes([run, row[at] if bits == 8 else row[at] * 17])
        at += run
    return bytes(out)


def _absolute(row: list[int], bits: int) -> bytes:
    packed = pack_bits(np.array([row]), bits)
    return bytes([0, len(row)]) + packed + bytes(len(packed) % 2)


def cases() -> Iterator[Case]:
    for header in SIZES:
        for bits in (1, 4, 8):
            index, colours = indices(2**bits), palette_of(2**bits)
            build = partial(bmp, packed_rows(index, bits), bits, header=header, palette=colours)
            yield case(f"bmp/{header}-{bits}bit", build, colours[index])
        build = partial(bmp, packed_rows(photo()[..., ::-1], 8), 24, header=header)
        yield case(f"bmp/{header}-24bit", build, photo())
    yield from _sixteen_and_thirty_two()
    yield from _run_lengths()
    yield from _structures()


def _sixteen_and_thirty_two() -> Iterator[Case]:
    r, g, b = (to_depth(photo(), 5)[..., k] for k in range(3))
    green = to_depth(photo()[..., 1], 6)
    five = rounded_to(photo(), 5)
    four = np.dstack([five[..., 0], rounded_to(photo()[..., 1], 6), five[..., 2]])
    near = Tolerance(8, 4)  # five bits are scaled to eight by shifts or by rounding
    build = partial(bmp, packed_rows(r << 10 | g << 5 | b, 16), 16)
    yield case("bmp/info-16bit-555", build, five, tolerance=near)
    for header in ("info", "v4", "v5"):
        build = partial(
            bmp,
            packed_rows(r << 11 | green << 5 | b, 16),
            16,
            header=header,
            compression=BITFIELDS,
            masks=(0xF800, 0x7E0, 0x1F, 0),
        )
        yield case(f"bmp/{header}-16bit-565", build, four, tolerance=near)
    bgrx = np.dstack([photo()[..., ::-1], np.zeros_like(matte())])
    yield case("bmp/info-32bit", partial(bmp, packed_rows(bgrx, 8), 32), photo())
    bgra = np.dstack([photo()[..., ::-1], matte()])
    for header in ("v4", "v5"):
        build = partial(bmp, packed_rows(bgra, 8), 32, header=header, compression=BITFIELDS, masks=MASKS_8888)
        yield case(f"bmp/{header}-32bit-alpha", build, photo(), matte())
        build = partial(bmp, packed_rows(bgrx, 8), 32, header=header, compression=BITFIELDS, masks=MASKS_888)
        yield case(f"bmp/{header}-32bit-no-alpha", build, photo())
    build = partial(bmp, packed_rows(bgrx, 8), 32, compression=BITFIELDS, masks=MASKS_888)
    yield case("bmp/info-32bit-bitfields", build, photo())
    build = partial(
        bmp, packed_rows(bgrx[..., [2, 1, 0, 3]], 8), 32, compression=BITFIELDS, masks=(0xFF, 0xFF00, 0xFF0000, 0)
    )
    yield case("bmp/info-32bit-masks-of-rgb", build, photo())
    build = partial(
        bmp, packed_rows(bgrx[..., [3, 0, 1, 2]], 8), 32, compression=BITFIELDS, masks=(0xFF000000, 0xFF0000, 0xFF00, 0)
    )
    yield case("bmp/info-32bit-masks-above", build, photo())


def _run_lengths() -> Iterator[Case]:
    for bits, compression in ((8, RLE8), (4, RLE4)):
        index, colours = indices(2**bits), palette_of(2**bits)
        build = partial(bmp, runs(index, bits), bits, compression=compression, palette=colours)
        yield case(f"bmp/rle{bits}", build, colours[index])
    cut = runs(indices(256), 8)
    build = partial(bmp, cut[: len(cut) // 2], 8, compression=RLE8, palette=palette_of(256))
    yield refused("bmp/rle8-cut-in-half", build, "failed_to_read_image")


def _structures() -> Iterator[Case]:
    down = packed_rows(photo()[..., ::-1], 8, top_down=True)
    yield case("bmp/top-down", partial(bmp, down, 24, top_down=True), photo())
    index, colours = indices(256), palette_of(256)
    yield case("bmp/gap-before-rows", partial(bmp, packed_rows(index, 8), 8, palette=colours, gap=40), colours[index])
    few = indices(5)
    yield case("bmp/palette-of-5", partial(bmp, packed_rows(few, 8), 8, palette=palette_of(5)), palette_of(5)[few])
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    yield case("bmp/grey-palette", partial(bmp, packed_rows(index, 8), 8, palette=grey), grey[index])
    plain = bmp(packed_rows(photo()[..., ::-1], 8), 24)
    yield case("bmp/bytes-after-the-end", lambda: plain + b"trailing" * 9, photo())
    yield case("bmp/file-size-0", lambda: plain[:2] + bytes(4) + plain[6:], photo())
    yield refused("bmp/cut-in-half", lambda: plain[: len(plain) // 2], "failed_to_read_image")
    yield refused(
        "bmp/rows-start-beyond-the-end", lambda: plain[:10] + b"\xff\xff\xff\x7f" + plain[14:], "failed_to_read_image"
    )
    for name, compression in {"jpeg": JPEG, "png": PNG}.items():
        yield refused(
            f"bmp/holds-a-{name}", partial(bmp, b"\xff\xd8\xff", 0, compression=compression), "invalid_file_type"
        )

"""GIF cases, written block by block. Source: GIF89a (CompuServe, 1990)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.pictures.case import Case, case, refused
from tests.support.pictures.lzw import gif_lzw
from tests.support.pictures.truth import HEIGHT, WIDTH, indices, palette_of

INTERLACE = ((0, 8), (4, 8), (2, 4), (1, 2))  # first row, step


@dataclass(frozen=True)
class Frame:
    """One picture of the file: indices H×W at an offset; `transparent` is an index or None."""

    index: NDArray[np.uint8]
    left: int = 0
    top: int = 0
    transparent: int | None = None
    interlaced: bool = False
    palette: NDArray[np.uint8] | None = None
    disposal: int = 0


def gif(frames: Sequence[Frame], bits: int, *, screen: tuple[int, int] = (WIDTH, HEIGHT), own: bool = True) -> bytes:
    """Write frames on a screen of (width, height). Without `own` there is no global palette."""
    colours = palette_of(2**bits)
    out = b"GIF89a" + struct.pack("<HHBBB", *screen, (0x80 | 0x70 | (bits - 1)) if own else 0x70, 0, 0)
    out += colours.tobytes() if own else b""
    return out + b"".join(_frame(frame, bits) for frame in frames) + b";"


def _frame(frame: Frame, bits: int) -> bytes:
    height, width = frame.index.shape
    key = frame.transparent
    flags = frame.disposal << 2 | (key is not None)
    out = b"!\xf9\x04" + struct.pack("<BHBB", flags, 10, 0 if key is None else key, 0)
    local = b"" if frame.palette is None else frame.palette.tobytes()
    packed = (0x80 | (bits - 1) if local else 0) | 0x40 * frame.interlaced
    out += b"," + struct.pack("<HHHHB", frame.left, frame.top, width, height, packed) + local
    rows = frame.index
    if frame.interlaced:
        rows = np.concatenate([rows[first::step] for first, step in INTERLACE])
    start = max(2, bits)
    return out + bytes([start]) + _sub_blocks(gif_lzw(rows.tobytes(), start))


def _sub_blocks(data: bytes) -> bytes:
    parts = (data[at : at + 255] for at in range(0, len(data), 255))
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def cases() -> Iterator[Case]:
    for bits in range(1, 9):
        index = indices(2**bits)
        for interlaced in (False, True):
            name = f"gif/{2**bits}-colours{'-interlaced' * interlaced}"
            yield case(name, partial(gif, [Frame(index, interlaced=interlaced)], bits), palette_of(2**bits)[index])
            alpha = np.where(index == 1, 0, 255).astype(np.uint8)
            build = partial(gif, [Frame(index, interlaced=interlaced, transparent=1)], bits)
            yield _transparent(f"{name}-transparent", build, palette_of(2**bits)[index], alpha)
    yield from _frames()
    yield from _structures()


def _transparent(name: str, build: Any, colours: NDArray[Any], alpha: NDArray[np.uint8]) -> Case:
    return case(name, build, colours, alpha, weighted=True)  # what a transparent pixel hides is nobody's business


def _frames() -> Iterator[Case]:
    index = indices(16)
    colours, local = palette_of(16)[index], palette_of(16)[::-1]
    warns = ("first_of_several",)
    yield case("gif/animated", partial(gif, [Frame(index), Frame(15 - index)], 4), colours, warnings=warns)
    disposed = [Frame(index, disposal=2), Frame(index[:9, :9], transparent=0, left=3, top=4)]
    yield case("gif/animated-with-disposal", partial(gif, disposed, 4), colours, warnings=warns)
    yield case("gif/local-palette", partial(gif, [Frame(index, palette=local)], 4), local[index])
    yield case("gif/only-a-local-palette", partial(gif, [Frame(index, palette=local)], 4, own=False), local[index])
    part = index[: HEIGHT - 13, : WIDTH - 21]
    around = np.zeros((HEIGHT, WIDTH), np.uint8)
    around[5 : 5 + part.shape[0], 7 : 7 + part.shape[1]] = 255
    full = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    full[around == 255] = palette_of(16)[part].reshape(-1, 3)
    yield _transparent("gif/first-frame-smaller", partial(gif, [Frame(part, 7, 5, transparent=17)], 4), full, around)


def _structures() -> Iterator[Case]:
    index = indices(16)
    colours = palette_of(16)[index]
    plain = gif([Frame(index)], 4)
    comment = b"!\xfe" + _sub_blocks(b"a comment" * 200)
    loop = b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
    head = 13 + 48
    yield case("gif/comment-first", lambda: plain[:head] + comment + loop + plain[head:], colours)
    yield case("gif/no-trailer", lambda: plain[:-1], colours)
    yield case("gif/bytes-after-the-end", lambda: plain + b"trailing" * 30, colours)
    yield case("gif/gif87a", lambda: b"GIF87a" + plain[6:head] + plain[head + 8 :], colours)
    yield refused("gif/cut-in-half", lambda: plain[: len(plain) // 2], "failed_to_read_image")
    rows = gif([Frame(index[:20])], 4)
    short = rows.replace(struct.pack("<HH", WIDTH, 20), struct.pack("<HH", WIDTH, HEIGHT))
    yield refused("gif/rows-missing", lambda: short, "failed_to_read_image")
    yield refused("gif/no-frame", lambda: plain[:head] + b";", "failed_to_read_image")

"""Write sequential JPEG of any components, sampling factors and depth: 8 or 12 bits, Huffman, or lossless.

The codes are longer than necessary (every symbol has the same length), which keeps the writer short and is legal.
Source: ITU-T T.81.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
BASELINE, EXTENDED, LOSSLESS = 0xC0, 0xC1, 0xC3
DC_BITS, AC_BITS = 5, 9
ROWS = np.arange(8)
DCT = np.cos((2 * ROWS[None] + 1) * ROWS[:, None] * np.pi / 16) * np.where(ROWS[:, None], 0.5, np.sqrt(1 / 8))
ZIGZAG = sorted(range(64), key=lambda k: (k // 8 + k % 8, (k % 8 if (k // 8 + k % 8) % 2 == 0 else k // 8)))

Bits = tuple[int, int]  # value, length


@dataclass(frozen=True)
class Component:
    """A plane at full resolution; it is averaged down to its share of the largest sampling factors."""

    samples: NDArray[Any]
    across: int = 1
    down: int = 1
    name: int = 1


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def write_jpeg(
    components: Sequence[Component],
    *,
    segments: bytes = b"",
    bits: int = 8,
    restart: int = 0,
    step: int = 1,
    frame: int = BASELINE,
    interleaved: bool = True,
    name_height: bool = True,
) -> bytes:
    """Write a DCT file. `step` is the quantiser of all coefficients; without `name_height` a DNL segment names it."""
    height, width = components[0].samples.shape
    tall, wide = max(c.down for c in components), max(c.across for c in components)
    out = (
        SOI
        + segments
        + segment(0xDB, b"\0" + bytes([step] * 64))
        + _frame(frame, components, bits, width, height if name_height else 0)
    )
    out += segment(0xC4, _table(0, DC_BITS, range(16))) + segment(0xC4, _table(16, AC_BITS, range(256)))
    if restart:
        out += segment(0xDD, struct.pack(">H", restart))
    blocks = [_blocks(c, width, height, wide, tall, bits, step) for c in components]
    scans = [list(range(len(components)))] if interleaved else [[k] for k in range(len(components))]
    for number, scan in enumerate(scans):
        out += _scan_header([components[k] for k in scan], 63)
        out += _scan([components[k] for k in scan], [blocks[k] for k in scan], restart, (width, height, wide, tall))
        if not name_height and number == 0:
            out += segment(0xDC, struct.pack(">H", height))
    return out + EOI


def write_lossless(components: Sequence[Component], *, segments: bytes = b"", bits: int = 8) -> bytes:
    """Write process 14 (predictor 1: the sample to the left)."""
    height, width = components[0].samples.shape
    out = SOI + segments + _frame(LOSSLESS, components, bits, width, height)
    out += segment(0xC4, _table(0, DC_BITS, range(16)))
    out += _scan_header(components, 0, first=1)
    stack = np.stack([c.samples for c in components], axis=-1).astype(int)
    predicted = np.empty_like(stack)
    predicted[:, 1:] = stack[:, :-1]
    predicted[1:, 0] = stack[:-1, 0]
    predicted[0, 0] = 1 << (bits - 1)
    return out + _pack(list(_pieces((stack - predicted).ravel().tolist()))) + EOI


def _pieces(differences: list[int]) -> Iterator[Bits]:
    for value in differences:
        size = abs(value).bit_length()
        yield size, DC_BITS
        yield _magnitude(value, size)


def _frame(marker: int, components: Sequence[Component], bits: int, width: int, height: int) -> bytes:
    parts = b"".join(bytes([c.name, c.across << 4 | c.down, 0]) for c in components)
    return segment(marker, struct.pack(">BHHB", bits, height, width, len(components)) + parts)


def _table(place: int, length: int, symbols: range) -> bytes:
    """Return a Huffman table of codes with `length` bits; a 256th symbol, which a count cannot hold, has one more."""
    counts = [0] * 17
    counts[length] = min(255, len(symbols))
    counts[length + 1] = len(symbols) - counts[length]
    return bytes([place, *counts[1:], *symbols])


def _scan_header(components: Sequence[Component], last: int, first: int = 0) -> bytes:
    parts = b"".join(bytes([c.name, 0]) for c in components)
    return segment(0xDA, bytes([len(components)]) + parts + bytes([first, last, 0]))


def _blocks(
    component: Component, width: int, height: int, wide: int, tall: int, bits: int, step: int
) -> NDArray[np.int64]:
    """Return the quantised coefficients of a plane in zigzag order: block rows × block columns × 64."""
    columns = -(-width // (8 * wide)) * component.across
    rows = -(-height // (8 * tall)) * component.down
    reduce_x, reduce_y = wide // component.across, tall // component.down
    full = ((0, rows * 8 * reduce_y - height), (0, columns * 8 * reduce_x - width))
    plane = np.pad(component.samples.astype(np.float64), full, mode="edge")
    plane = plane.reshape(rows * 8, reduce_y, columns * 8, reduce_x).mean(axis=(1, 3)) - (1 << (bits - 1))
    tiles = plane.reshape(rows, 8, columns, 8).swapaxes(1, 2)
    coefficients = (DCT @ tiles @ DCT.T / step).round().astype(np.int64)
    return coefficients.reshape(rows, columns, 64)[..., ZIGZAG]


def _scan(
    components: Sequence[Component],
    blocks: Sequence[NDArray[np.int64]],
    restart: int,
    geometry: tuple[int, int, int, int],
) -> bytes:
    out, bits, done = b"", [], 0
    previous = [0] * len(components)
    units = list(_units(components, blocks, geometry))
    for number, unit in enumerate(units):
        if restart and number and number % restart == 0:
            out += _pack(bits) + bytes([0xFF, 0xD0 + done % 8])
            bits, done, previous = [], done + 1, [0] * len(components)
        for k, block in unit:
            bits += _block_bits(block, previous[k])
            previous[k] = block[0]
    return out + _pack(bits)


def _units(
    components: Sequence[Component], blocks: Sequence[NDArray[np.int64]], geometry: tuple[int, int, int, int]
) -> Iterator[list[tuple[int, list[int]]]]:
    """Yield the blocks of each minimum coded unit. A scan of one component has one block a unit, and no padding."""
    width, height, wide, tall = geometry
    if len(components) == 1:
        rows = -(-height * components[0].down // (8 * tall))
        columns = -(-width * components[0].across // (8 * wide))
        for y in range(rows):
            for x in range(columns):
                yield [(0, blocks[0][y, x].tolist())]
        return
    for top in range(blocks[0].shape[0] // components[0].down):
        for left in range(blocks[0].shape[1] // components[0].across):
            yield [
                (k, blocks[k][top * c.down + y, left * c.across + x].tolist())
                for k, c in enumerate(components)
                for y in range(c.down)
                for x in range(c.across)
            ]


def _block_bits(block: list[int], previous: int) -> list[Bits]:
    size = abs(block[0] - previous).bit_length()
    bits, run = [(size, DC_BITS), _magnitude(block[0] - previous, size)], 0
    last = max((k for k in range(1, 64) if block[k]), default=0)
    for value in block[1 : last + 1]:
        if value == 0:
            run += 1
            continue
        while run > 15:
            bits.append(_ac_code(0xF0))
            run -= 16
        size = abs(value).bit_length()
        bits += [_ac_code(run << 4 | size), _magnitude(value, size)]
        run = 0
    return bits if last == 63 else [*bits, _ac_code(0)]


def _ac_code(symbol: int) -> Bits:
    return (symbol, AC_BITS) if symbol < 255 else (510, AC_BITS + 1)


def _magnitude(value: int, size: int) -> Bits:
    return value if value >= 0 else value + (1 << size) - 1, size


def _pack(bits: list[Bits]) -> bytes:
    text = "".join(f"{value:0{length}b}" for value, length in bits if length)
    text += "1" * (-len(text) % 8)
    data = int(text or "0", 2).to_bytes(len(text) // 8, "big")
    return data.replace(b"\xff", b"\xff\0")

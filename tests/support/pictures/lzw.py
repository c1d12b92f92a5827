"""Compress by LZW as TIFF and GIF want it. Both clear the table when it is full; they differ in bit order and timing.

Source: TIFF 6.0, section 13; GIF89a, appendix F.
"""

from __future__ import annotations

MAX_CODES = 4096


def tiff_lzw(data: bytes) -> bytes:
    """Codes start at 9 bits, most significant bit first, and grow one code early."""
    return _pack(_codes(data, 8, early=1), big_end=True)


def gif_lzw(data: bytes, bits: int) -> bytes:
    """Codes start at `bits` + 1, least significant bit first."""
    return _pack(_codes(data, bits, early=0), big_end=False)


def _codes(data: bytes, bits: int, early: int) -> list[tuple[int, int]]:
    """Return codes with their widths: clear, the data, end."""
    clear = 1 << bits
    first = {bytes([value]): value for value in range(clear)}
    table, width, prefix = dict(first), bits + 1, b""
    following = clear + 2
    codes = [(clear, width)]
    for value in data:
        longer = prefix + bytes([value])
        if longer in table:
            prefix = longer
            continue
        codes.append((table[prefix], width))
        table[longer] = following
        following += 1
        prefix = longer[-1:]
        if following >= MAX_CODES - 2:
            codes.append((clear, width))
            table, width, following = dict(first), bits + 1, clear + 2
        elif following > (1 << width) - early:
            width += 1
    if prefix:
        codes.append((table[prefix], width))
        following += 1
        if following > (1 << width) - early:
            width += 1
    codes.append((clear + 1, width))
    return codes


def _pack(codes: list[tuple[int, int]], *, big_end: bool) -> bytes:
    out, held, count = bytearray(), 0, 0
    for code, width in codes:
        held = (held << width | code) if big_end else (held | code << count)
        count += width
        while count >= 8:
            out.append((held >> (count - 8) if big_end else held) & 255)
            held = held & ((1 << (count - 8)) - 1) if big_end else held >> 8
            count -= 8
    if count:
        out.append((held << (8 - count) if big_end else held) & 255)
    return bytes(out)

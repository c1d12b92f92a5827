"""The size in the sequence header of AV1 data (AV1 Bitstream & Decoding Process Specification, sections 5.3 to 5.5)."""

from __future__ import annotations

SEQUENCE_HEADER = 1  # a type of OBU
BEGINNING_BYTES = 1024  # of a picture, within which its sequence header comes
MAX_OBUS = 16
HEADER_BYTES = 512  # 32 operating points take no more


class _Bits:
    """Read numbers of some bits each, the highest first. Behind the end there are zeros."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        return (self._value >> self._left if self._left >= 0 else 0) & ((1 << count) - 1)

    def skip_uvlc(self) -> None:
        zeros = 0
        while zeros < 32 and not self.take(1):
            zeros += 1
        self.take(zeros)


def check_coded_size(data: bytes, width: int, height: int) -> None:
    """Refuse AV1 data whose pictures have not the size that their container states. Raises ValueError, IndexError."""
    coded = coded_size(data)
    if coded != (width, height):
        raise ValueError(f"it holds a picture of {coded[0]}×{coded[1]}, and states {width}×{height}")


def coded_size(data: bytes) -> tuple[int, int]:
    """Return width and height of the pictures that AV1 data begin with. Raises ValueError, IndexError."""
    at = 0
    for _ in range(MAX_OBUS):
        head = data[at]
        at += 2 if head & 4 else 1
        if not head & 2:  # it reaches to the end
            size = len(data) - at
        else:
            size, at = _leb128(data, at)
        if head >> 3 & 15 == SEQUENCE_HEADER:
            return _size(_Bits(data[at : at + min(size, HEADER_BYTES)]))
        at += size
    raise ValueError("its data do not begin with those of AV1")


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 56, 7):
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            break
    return value, at


def _size(bits: _Bits) -> tuple[int, int]:
    bits.take(4)  # profile, still picture
    if bits.take(1):  # reduced header of still pictures
        bits.take(5)
    else:
        _skip_operation(bits)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    return bits.take(width_bits) + 1, bits.take(height_bits) + 1


def _skip_operation(bits: _Bits) -> None:
    delay_bits = 0
    if bits.take(1):  # timing
        bits.take(64)
        if bits.take(1):
            bits.skip_uvlc()
        if bits.take(1):  # decoder model
            delay_bits = bits.take(5) + 1
            bits.take(42)
    has_delay = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:
            bits.take(1)
        if delay_bits and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if has_delay and bits.take(1):
            bits.take(4)

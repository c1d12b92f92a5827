"""Read numbers from bytes. Past the end, each raises `struct.error`: the file is truncated."""

from __future__ import annotations

from struct import Struct

_U16, _U32, _U64 = Struct(">H"), Struct(">I"), Struct(">Q")


def u16(data: bytes, at: int) -> int:
    value: int = _U16.unpack_from(data, at)[0]
    return value


def u32(data: bytes, at: int) -> int:
    value: int = _U32.unpack_from(data, at)[0]
    return value


def u64(data: bytes, at: int) -> int:
    value: int = _U64.unpack_from(data, at)[0]
    return value


class Steps:
    """A budget of steps that several loops over one file share."""

    def __init__(self, limit: int, of: str) -> None:
        self._limit, self._of, self._left = limit, of, limit

    def take(self, count: int = 1) -> None:
        """Spend `count` steps. Raises ValueError once more than the limit have been spent."""
        self._left -= count
        if self._left < 0:
            raise ValueError(f"more than {self._limit:,} {self._of}")

"""Unpacking batches of records, no further than a limit. kafka-python unpacks whatever a few bytes claim to be."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Mapping
from io import BytesIO

from kafka import codec
from kafka.errors import UnsupportedCodecError

_XERIAL_MAGIC = b"\x82SNAPPY\x00"  # Java's framing of snappy: the magic, two versions, then blocks
_XERIAL_HEADER_BYTES = 16
_BLOCK_LENGTH = struct.Struct(">i")


class TooLarge(Exception):
    """The data would unpack to more than the limit. `beginning` is what was unpacked, if anything, and within it."""

    beginning = b""


class Damaged(ValueError):
    """The data is not what its compression says that it is."""


def unpack(compression: int, data: bytes, limit: int) -> bytes:
    """Unpack data of one of Kafka's compression types, by its number in the protocol.

    Raises TooLarge before more than `limit` bytes are in memory, Damaged, and UnsupportedCodecError for a type that
    Kafka does not have. Of truncated zstd it returns what is there, and the records in it turn out to be too few. Of
    lz4 it refuses what clients before Kafka 0.10 wrote, whose frames have wrong checksums.
    """
    if compression not in _CODECS:
        raise UnsupportedCodecError(f"compression type {compression} is unknown")
    try:
        unpacked = _CODECS[compression](data, limit)
    except (TooLarge, MemoryError, AttributeError):  # without memory or the library, the data may be sound
        raise
    except Exception as exc:
        raise Damaged(f"{type(exc).__name__}: {exc}") from exc
    if len(unpacked) > limit:
        raise _too_large(f"its {len(data)} bytes unpack to more than {limit}", unpacked[:limit])
    return unpacked


def _too_large(reason: str, beginning: bytes) -> TooLarge:
    error = TooLarge(reason)
    error.beginning = beginning
    return error


def _gzip(data: bytes, limit: int) -> bytes:
    with gzip.GzipFile(fileobj=BytesIO(data)) as unpacking:
        return unpacking.read(limit + 1)


def _lz4(data: bytes, limit: int) -> bytes:
    unpacking = codec.lz4.LZ4FrameDecompressor()
    unpacked: bytes = unpacking.decompress(data, max_length=limit + 1)
    if len(unpacked) <= limit and not unpacking.eof:
        raise ValueError("the lz4 frame is truncated")
    return unpacked


def _zstd(data: bytes, limit: int) -> bytes:
    with codec.zstd.ZstdDecompressor().stream_reader(BytesIO(data), read_across_frames=True) as unpacking:
        unpacked: bytes = unpacking.read(limit + 1)
    return unpacked


def _snappy(data: bytes, limit: int) -> bytes:
    if not data.startswith(_XERIAL_MAGIC):
        return _snappy_block(data, limit)
    unpacked = bytearray()
    position = _XERIAL_HEADER_BYTES
    while position < len(data):
        (length,) = _BLOCK_LENGTH.unpack_from(data, position)
        position += _BLOCK_LENGTH.size
        if not 0 < length <= len(data) - position:
            raise ValueError(f"a snappy block of {length} bytes where {len(data) - position} are left")
        try:
            unpacked += _snappy_block(data[position : position + length], limit - len(unpacked))
        except TooLarge as exc:
            raise _too_large(str(exc), bytes(unpacked)) from exc
        position += length
    return bytes(unpacked)


def _snappy_block(block: bytes, limit: int) -> bytes:
    """Unpack a block, whose first bytes say how large it is: the library would allocate that at once."""
    size = 0
    for place, byte in enumerate(block[:5]):
        size |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            break
    if size > limit:
        raise TooLarge(f"a snappy block unpacks to {size} bytes, more than the {limit} that are left")
    unpacked: bytes = codec.snappy.decompress(block)
    return unpacked


_CODECS: Mapping[int, Callable[[bytes, int], bytes]] = {1: _gzip, 2: _snappy, 3: _lz4, 4: _zstd}

"""Unpack the body of an answer that its server compressed, although it was asked not to, without trusting its size."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

_LARGEST_CHUNK = 256 * 1024
_FED_AT_ONCE = 4096  # zlib copies what is left of a piece whenever a member of it ends, which may be every 20 bytes
_GZIP, _ZLIB = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS
_FORMATS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}
# Not compressions: uploading programs leave these names behind in a bucket, and browsers ignore them too.
_UNCOMPRESSED = {"", "identity", "none", "aws-chunked", "binary", "utf-8"}


class Undecodable(Exception):
    """The body is not what its `Content-Encoding` says, or that is not supported."""


def unpacked(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Yield the body as its `Content-Encoding` says, in pieces of at most 256 KiB.

    Raises Undecodable for an encoding that is not supported, and for a body that is cut or damaged.
    """
    codings = [name for name in map(str.strip, encoding.lower().split(",")) if name not in _UNCOMPRESSED]
    if not codings:
        yield from chunks
    elif len(codings) == 1 and codings[0] in _FORMATS:
        yield from _inflated(chunks, _FORMATS[codings[0]])
    else:
        raise Undecodable(f"it is compressed with `{encoding[:40]}`, although it was asked not to be")


def _inflated(chunks: Iterable[bytes], format: int) -> Iterator[bytes]:
    inflate = zlib.decompressobj(format)
    for chunk in chunks:
        for start in range(0, len(chunk), _FED_AT_ONCE):
            data = chunk[start : start + _FED_AT_ONCE]
            while data:
                if inflate.eof:  # gzip may have several members, and zeros behind each as padding
                    data = data.lstrip(b"\0")
                    if not data:
                        break
                    inflate = zlib.decompressobj(format)
                try:
                    yield inflate.decompress(data, _LARGEST_CHUNK)
                except zlib.error as exc:
                    raise Undecodable("the compressed body is damaged") from exc
                data = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
    if not inflate.eof:
        raise Undecodable("the compressed body is cut")

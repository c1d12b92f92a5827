"""What decoders raise; `decode` turns it into the named errors, with the name of the format."""

from __future__ import annotations

import re

MEMORY = re.compile(r"out of memory|insufficient memory|allocat|creating thread|no space for", re.I)
ENDS_EARLY = re.compile(
    r"premature end|end of file|truncat|ended|not enough|short |read error|got only|but only got|outside of file|EOI",
    re.I,
)
DATA = re.compile(
    r"huffman|corrupt|decod|code|checksum|crc|zlib|distance|broken|data check|next frame|png|scanline", re.I
)


class Undecodable(Exception):
    """The file is truncated or damaged. The message is a reason in plain words, without the format's name."""


class NotSupported(Exception):
    """The file is intact, but of a kind that is not decoded. The message says which, and what to do."""


class DecoderOutOfMemory(Exception):
    """The library could not allocate what it needs."""


def failure(words: str) -> Undecodable | DecoderOutOfMemory:
    """Say in plain words what a library complains of in its own."""
    if MEMORY.search(words):
        return DecoderOutOfMemory()
    if ENDS_EARLY.search(words):
        return Undecodable("it ends too early")
    if DATA.search(words):
        return Undecodable("its image data are damaged")
    return Undecodable("its structure is damaged")

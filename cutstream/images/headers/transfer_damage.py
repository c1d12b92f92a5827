"""Recognise images that a transfer or a program has damaged: bytes before them, or taken for text on the way."""

from __future__ import annotations

import re

EXTENT = 1024
BEHIND_BLANKS = re.compile(
    rb"(?:\xef\xbb\xbf)?[ \t\r\n\f\0]*(?:\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF.{4}WEBP)", re.DOTALL
)
AS_TEXT = (
    "an image that was stored as text, which has destroyed it",
    "send it as binary data from the original",
)
BEHIND = ("an image behind bytes that do not belong to it", "send the image alone")
TEXT_STARTS = (
    b"\xc3\xbf\xc3\x98\xc3\xbf",  # JPEG and PNG as Latin-1, written as UTF-8
    b"\xc2\x89PNG\r\n",
    b"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd",  # bytes that are no UTF-8, replaced
    b"\xef\xbf\xbdPNG\r\n",
    b"\xe2\x80\xb0PNG\r\n",  # as Windows-1252
    b"\xc3\xbf\xc3\x98",
    b"\x09PNG",  # without the highest bit
    b"\x89PNG\n\x1a\n",  # with other line ends
    b"\x89PNG\r\r\n\x1a\r\n",
    b"\x89PNG\r\n\x1a\r\n",
    b"\x89PNG\r\x1a\r",
    b"?PNG\r\n",
)
FORM = re.compile(rb"\s*--[^\r\n]{1,200}\r?\ncontent-", re.IGNORECASE)
HEXADECIMAL = re.compile(rb"(?:0x|\\x)?(?:ffd8ff|89504e47|\\?xff\\xd8)", re.IGNORECASE)
PRINTED = re.compile(rb"b?['\"](?:\\xff\\xd8|\\x89PNG)")


def identify_damage(data: bytes) -> tuple[str, str] | None:
    """Return what has become of an image, and advice; None if nothing tells of one."""
    if data.startswith(TEXT_STARTS):
        return AS_TEXT
    start = data[:EXTENT]
    if FORM.match(start):
        return "the body of a form (multipart)", "store the file within it alone"
    if HEXADECIMAL.match(start):
        return "an image in hexadecimal digits", "decode it"
    if PRINTED.match(start):
        return "an image printed as a text of Python", "write its bytes"
    if BEHIND_BLANKS.match(start):
        return BEHIND
    return None

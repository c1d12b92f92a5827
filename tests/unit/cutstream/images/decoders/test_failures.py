from __future__ import annotations

import pytest

from cutstream.images.decoders.failures import DecoderOutOfMemory, Undecodable, failure


@pytest.mark.parametrize(
    "words",
    [
        "tiff2vips: Cumulated memory allocation of 11536040 + 48526336 bytes is beyond the byte limit",
        "glib: Error creating thread: Resource temporarily unavailable",
        "VipsJpeg: Insufficient memory (case 4)",
        "Pixel allocation failed: Out of memory",
        "out of memory when reading image file",
    ],
)
def test_a_lack_of_memory_is_no_damage(words: str) -> None:
    assert isinstance(failure(words), DecoderOutOfMemory)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("VipsJpeg: Corrupt JPEG data: premature end of data segment\n", "it ends too early"),
        ("image file is truncated (12 bytes not processed)", "it ends too early"),
        ("Failed to decode frame 0: Truncated data", "it ends too early"),
        ("tiff2vips: Not enough data for scanline 0", "it ends too early"),
        ("VipsJpeg: Corrupt JPEG data: bad Huffman code\n", "its image data are damaged"),
        ("broken data stream when reading image file", "its image data are damaged"),
        ("failed to read next frame", "its image data are damaged"),
        ("VipsJpeg: Bogus marker length", "its structure is damaged"),
        ("", "its structure is damaged"),
    ],
)
def test_the_words_of_libraries_become_plain_ones(words: str, reason: str) -> None:
    named = failure(words)
    assert isinstance(named, Undecodable)
    assert str(named) == reason

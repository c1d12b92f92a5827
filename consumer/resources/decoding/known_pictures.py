"""Small pictures that every decoder process decodes when it starts, one for each library.

A process that has decoded them works. What breaks it afterwards is the file that it was given.

The modules of Pillow are those that it loads when a file needs them; later, no file can be opened any more.
"""

from __future__ import annotations

from base64 import b64decode

import numpy as np
from PIL import ImageColor, ImageFilter, ImagePalette, TiffImagePlugin  # noqa: F401 - see below

from cutstream.images.decode import decode
from cutstream.images.header import Format, Header

_COLOUR = (200, 80, 40)
_TOLERANCE = 6
_PICTURES: dict[Format, tuple[int, str]] = {
    "jpeg": (
        8,
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19iZ2hn"
        "Pk1xeXBkeFxlZ2P/2wBDARESEhgVGC8aGi9jQjhCY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2P/"
        "wAARCAAIAAgDAREAAhEBAxEB/8QAFAABAAAAAAAAAAAAAAAAAAAABP/EABQQAQAAAAAAAAAAAAAAAAAAAAD/xAAUAQEAAAAAAAAAAAAAAAAA"
        "AAAF/8QAFBEBAAAAAAAAAAAAAAAAAAAAAP/aAAwDAQACEQMRAD8AMMPP/9k=",
    ),
    "webp": (8, "UklGRh4AAABXRUJQVlA4TBEAAAAvB8ABAAdQqCIXpf+BiOh/AAA="),
    "heic": (
        64,
        "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAVZtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJp"
        "bG9jAAAAAERAAAEAAQAAAAABegABAAAAAAAAABkAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAAB"
        "AAAA1mlwcnAAAAC3aXBjbwAAAHhodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEA"
        "AQArQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbqSSmubgIaDAgAAAMAyAAAAwAIQGIAAQAHRAHBcrAiQAAAABNjb2xybmNseAABAA0ABoAA"
        "AAAUaXNwZQAAAAAAAABAAAAAQAAAABBwaXhpAAAAAAMICAgAAAAXaXBtYQAAAAAAAAABAAEEgQIDBAAAACFtZGF0AAAAFSgBrxmA93yF"
        "N//p5X/lhy/1sFeLRw==",
    ),
}


def check_decoders() -> None:
    """Raise an error if a library does not decode its picture, or decodes it wrong."""
    for name, (side, text) in _PICTURES.items():
        pixels = decode(b64decode(text), Header(name, side, side)).pixels
        if pixels.shape != (side, side, 3) or np.abs(pixels.astype(int) - _COLOUR).max() > _TOLERANCE:
            raise RuntimeError(f"the decoder of {name} decodes a known picture wrong")

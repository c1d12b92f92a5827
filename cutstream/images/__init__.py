"""Image data: layout, dtype, range and colour order, stated once for the whole code.

* pixels: uint8, height × width × 3, RGB, sRGB, 0..255, upright (EXIF orientation already applied), C-contiguous.
* matte / alpha: uint8, height × width, 0 is background, 255 is subject.
* cutout: uint8, height × width × 4, RGBA, straight (not premultiplied) alpha.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]
Matte: TypeAlias = NDArray[np.uint8]
Cutout: TypeAlias = NDArray[np.uint8]

Format: TypeAlias = Literal["png", "webp", "jpeg"]  # of the files that are written

WarningCode: TypeAlias = Literal[
    "first_of_several",  # the file holds several pictures, and only its first or main one was taken
    "missing_profile",  # CMYK without a profile: the colours are approximate
    "unusable_profile",  # a colour profile that is damaged, or that does not fit the picture
    "unusable_metadata",  # EXIF, texts or a resolution that cannot be read or kept
    "damaged_data",  # damage that leaves every pixel there, such as a missing end marker
]


@dataclass(frozen=True, slots=True)
class ImageWarning:
    """Something about a file that was read all the same. `message` says what was found and what was done."""

    code: WarningCode
    message: str


@dataclass(frozen=True, slots=True)
class Image:
    """A decoded source. `alpha` is the source's own, if any; `icc` and `dpi` serve the option `keep_metadata`.

    `warnings` go into the result.
    """

    pixels: Pixels
    alpha: Matte | None = None
    format: str = "jpeg"
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    warnings: tuple[ImageWarning, ...] = ()

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

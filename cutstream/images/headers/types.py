"""What a header tells about a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Format: TypeAlias = Literal["jpeg", "png", "webp", "avif", "heic", "tiff", "gif", "bmp", "jpeg2000"]


@dataclass(frozen=True, slots=True)
class CodePoints:
    """The colour space of decoded samples by its code points in ITU-T H.273: `nclx` in AVIF and HEIC, `cICP` in PNG."""

    primaries: int
    transfer: int
    matrix: int
    full_range: bool


@dataclass(frozen=True, slots=True)
class Crop:
    """The coded picture of which only a part is shown, and where this part begins, before any orientation."""

    coded_width: int
    coded_height: int
    left: int
    top: int


@dataclass(frozen=True, slots=True)
class Header:
    """The format and the stored size of a file's first or main picture, after a `clap` of AVIF or HEIC.

    The orientation (EXIF, or `irot` in AVIF and HEIC) may swap width and height.

    A TIFF may hold its full-size picture in a SubIFD, behind a thumbnail. `page` and `subifd` mean the same as the
    options of libvips's loader: `subifd` counts the SubIFDs of that page, and -1 is the page itself.
    """

    format: Format
    width: int
    height: int
    bits: int = 8  # of one sample as stored; of one index in a palette
    channels: int = 3  # of one pixel with its palette applied; alpha, or a transparent colour, is one of them
    progressive: bool = False  # the picture comes in several passes, all held until the last: JPEG, PNG
    pictures: int = 1  # frames, pages or items, without thumbnails and masks; of a GIF, 2 stands for "several"
    page: int = 0  # the TIFF directory of the picture, counted along the chain
    subifd: int = -1  # its SubIFD within that page
    colour: CodePoints | None = None  # if the file states one
    crop: Crop | None = None  # by `clap`, in AVIF and HEIC
    cut_from: int = 0  # pixels that are coded for the picture, if they are more than it has: crops, tiles

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @property
    def coded_pixels(self) -> int:
        """The pixels that a decoder holds."""
        return max(self.pixels, self.cut_from)

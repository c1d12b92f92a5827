"""A decoded picture as its file has it: samples not yet in sRGB, rows not yet upright."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cutstream.images import ImageWarning, Matte, WarningCode
from cutstream.images.blocks import row_blocks
from cutstream.images.colour_spaces import ColourSpace

Samples: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
Model: TypeAlias = Literal["grey", "rgb", "cmyk", "lab"]

MAX_PROFILE_BYTES = 1 << 24  # the profiles of printers have up to 4 MB
CHANNELS: dict[Model, int] = {"grey": 1, "rgb": 3, "cmyk": 4, "lab": 3}


@dataclass
class Description:
    """What a file says about its picture. Whatever cannot be read is left out, with a warning.

    `orientation` is that of EXIF, 1..8. `dpi` is horizontal, vertical. `colour` is the colour space of the samples, if
    the file states it in other terms than a profile; it counts before `icc`.
    """

    icc: bytes | None = None
    colour: ColourSpace | None = None
    orientation: int = 1
    dpi: tuple[float, float] | None = None
    warnings: list[ImageWarning] = field(default_factory=list)

    def warn(self, code: WarningCode, message: str) -> None:
        self.warnings.append(ImageWarning(code, message))


@dataclass
class Raster:
    """Samples of H×W×C, u8, or u16 if the colour space needs them; C goes by `model`.

    Grey and RGB rise with brightness, CMYK with ink. Lab is L 0..255 (in u16
    0..65535), then a and b as signed numbers. `alpha` is H×W, u8, straight, 255 for opaque.
    """

    samples: NDArray[Any]
    model: Model
    alpha: Matte | None = None
    about: Description = field(default_factory=Description)


def high_bytes(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Reduce u16 samples to u8 by their high byte, as all viewers do. u8 samples are returned as they are."""
    if samples.dtype == np.uint8:
        return samples
    return np.ascontiguousarray(samples, "<u2")[..., None].view(np.uint8)[..., 1]


def split(samples: NDArray[Any], model: Model, about: Description, keep_16_bit: bool = False) -> Raster:
    """Split H×W×C samples into colours and the alpha that follows them. Channels after alpha are dropped."""
    colours = CHANNELS[model]
    if samples.ndim == 2:
        samples = samples[..., None]
    alpha = None
    if samples.shape[2] > colours:
        alpha = np.ascontiguousarray(high_bytes(samples[..., colours]))
        samples = samples[..., :colours]
    return Raster(np.ascontiguousarray(samples if keep_16_bit else high_bytes(samples)), model, alpha, about)


def unpremultiply(samples: NDArray[np.uint8], alpha: Matte) -> NDArray[np.uint8]:
    """Divide u8 colours, H×W×C, by their alpha. Where alpha is 0 they become 0."""
    straight = np.empty(samples.shape, np.uint8)
    for rows in row_blocks(*alpha.shape):
        divisor = alpha[rows].astype(np.uint16)[..., None]
        whole = (samples[rows].astype(np.uint16) * np.uint16(255) + divisor // 2) // np.maximum(divisor, 1)
        straight[rows] = np.where(divisor == 0, 0, np.minimum(whole, 255))
    return straight

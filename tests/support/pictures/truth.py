"""The one picture that all cases hold, in the forms that formats store: depths, ink, palettes, premultiplied colours.

Odd sides, wider than high, no symmetry, every channel different, flat blocks beside slow gradients: a decoder that
swaps, mirrors, shifts or crops gives another picture, and lossy codecs stay close to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[Any]

WIDTH, HEIGHT = 61, 43
LUMA = np.array([0.299, 0.587, 0.114])


def photo(width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Return u8 H×W×3 RGB: gradients with a dark, a red and a white block in three of the corners."""
    y, x = np.mgrid[:height, :width]
    across, down = x / max(1, width - 1), y / max(1, height - 1)
    pixels = np.stack([40 + 190 * across, 30 + 200 * down, 220 - 100 * across - 90 * down], axis=-1)
    pixels[: height // 3, : width // 4] = (20, 40, 90)
    pixels[: height // 4, width // 2 : 3 * width // 4] = (210, 60, 40)
    pixels[2 * height // 3 :, : width // 3] = (250, 240, 200)
    return pixels.astype(np.uint8)


def grey(width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Return u8 H×W: the luma of `photo`."""
    return (photo(width, height) @ LUMA).round().astype(np.uint8)


def matte(width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Return u8 H×W: a soft ellipse off the centre, with 0 and 255 in it."""
    y, x = np.mgrid[:height, :width]
    distance = np.hypot((x - width * 0.45) / (width * 0.5), (y - height * 0.55) / (height * 0.5))
    return np.clip(255 * (1.6 - 1.5 * distance), 0, 255).astype(np.uint8)


def to_depth(samples: Samples, bits: int) -> Samples:
    """Return 8-bit samples as `bits` wide ones. Above 8 bits the low bits are busy, so that no cast goes unnoticed."""
    if bits <= 8:
        return (samples.astype(np.uint32) * (2**bits - 1) + 127) // 255
    exact = samples.astype(np.uint64) * (2**bits - 1) // 255
    busy = np.arange(exact.size, dtype=np.uint64).reshape(exact.shape) % (2 ** (bits - 8) // 3)
    return np.where(samples == 255, exact, exact + busy).astype(np.uint32)


def from_depth(samples: Samples, bits: int) -> NDArray[np.uint8]:
    """Return samples of `bits` as 8-bit ones, rounded: the definition that decoders may miss by one level."""
    return ((samples.astype(np.uint64) * 510 + (2**bits - 1)) // (2 * (2**bits - 1))).astype(np.uint8)


def rounded_to(samples: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Return what is left of 8-bit samples after they were stored with `bits`."""
    return from_depth(to_depth(samples, bits), bits)


def grey_as_rgb(samples: Samples) -> Samples:
    return np.repeat(samples[..., None], 3, axis=2)


def premultiplied(colours: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return (colours.astype(np.float64) * (alpha[..., None] / 255)).round().astype(np.uint8)


def palette_of(colours: int) -> NDArray[np.uint8]:
    """Return u8 N×3: colours that are all different."""
    index = np.arange(colours)
    return np.stack([index * 37 % 256, index * 101 % 256, 255 - index * 11 % 256], axis=-1).astype(np.uint8)


def indices(colours: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Return u8 H×W of palette indices: diagonal bands, so that a lost row or column shows."""
    y, x = np.mgrid[:height, :width]
    return ((x // 3 + 2 * y) % colours).astype(np.uint8)


def pack_bits(samples: Samples, bits: int, *, little_bytes: bool = False) -> bytes:
    """Pack rows of samples (rows × samples a row) into bytes, each row padded to whole bytes, big end first.

    16 and 32 bits follow the byte order of the file.
    """
    if bits in (8, 16, 32):
        return samples.astype(("<" if little_bytes else ">") + f"u{bits // 8}").tobytes()
    shifts = np.arange(bits - 1, -1, -1, dtype=np.uint32)
    single = (samples.astype(np.uint32)[..., None] >> shifts & 1).astype(np.uint8)
    return np.packbits(single.reshape(samples.shape[0], -1), axis=1).tobytes()

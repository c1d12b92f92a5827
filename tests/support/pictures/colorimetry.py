"""Colour mathematics for truths: sRGB, Display P3 and BT.2020 as matrices, PQ and HLG, CIE Lab, and ink.

Source: IEC 61966-2-1 (sRGB), SMPTE EG 432-1 (P3), ITU-R BT.2020 and BT.2100 (PQ, HLG), BT.2408 (white paper),
ICC.1 (D50, Bradford).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

D65 = np.array([0.95047, 1.0, 1.08883])
D50 = np.array([0.9642, 1.0, 0.8249])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593])
PRIMARIES = {  # x, y of red, green and blue; white is D65
    "srgb": ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    "p3": ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    "bt2020": ((0.708, 0.292), (0.17, 0.797), (0.131, 0.046)),
}


def to_xyz(space: str) -> Floats:
    """Return the 3×3 matrix from linear RGB of a space to XYZ with white D65."""
    columns = np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in PRIMARIES[space]]).T
    return columns * np.linalg.solve(columns, D65)


def adapted_to_d50(matrix: Floats) -> Floats:
    """Return the same matrix to XYZ with white D50, as profiles hold it."""
    scale = np.diag((BRADFORD @ D50) / (BRADFORD @ D65))
    return np.linalg.inv(BRADFORD) @ scale @ BRADFORD @ matrix


def linear(encoded: NDArray[Any]) -> Floats:
    """Decode sRGB values of 0..1."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((np.maximum(encoded, 0) + 0.055) / 1.055) ** 2.4)


def encoded(light: NDArray[Any]) -> Floats:
    """Encode linear light of 0..1 as sRGB."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def bt709_encoded(light: NDArray[Any]) -> Floats:
    """Encode linear light by the camera curve of BT.709 and BT.2020."""
    light = np.clip(light, 0, 1)
    return np.where(light < 0.018, light * 4.5, 1.099 * light**0.45 - 0.099)


def pq_encoded(light: NDArray[Any]) -> Floats:
    """Encode linear light, 1 for white paper (203 cd/m²), by PQ."""
    power = (np.maximum(light, 0) * 203 / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg_encoded(light: NDArray[Any]) -> Floats:
    """Encode linear light H×W×C of BT.2020, 1 for white paper, by HLG for a display of 1,000 cd/m²."""
    shown = np.maximum(light, 0) * 203 / 1_000
    luma = shown @ BT2020_LUMA if shown.shape[-1] == 3 else shown[..., 0]
    scene = shown / np.maximum(luma, 1e-9)[..., None] ** (0.2 / 1.2)
    high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)


def srgb_in(space: str, pixels: NDArray[np.uint8], levels: int = 255, curve: Any = encoded) -> NDArray[np.uint16]:
    """Return sRGB pixels as values 0..`levels` of a wider space, where they look the same."""
    matrix = np.linalg.solve(to_xyz(space), to_xyz("srgb"))
    return (curve(linear(pixels / 255) @ matrix.T) * levels).round().astype(np.uint16)


def to_lab(pixels: NDArray[np.uint8]) -> Floats:
    """Return L* 0..100, a* and b* (white D50) of sRGB pixels."""
    xyz = linear(pixels / 255) @ adapted_to_d50(to_xyz("srgb")).T / D50
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def to_ycbcr(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return Y, Cb and Cr of JFIF: full range, BT.601."""
    matrix = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    return np.clip((pixels @ matrix.T + [0, 128, 128]).round(), 0, 255).astype(np.uint8)


def to_ink(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return C, M, Y and K, 255 full ink, such that `from_ink` gives the pixels back."""
    black = 255 - pixels.max(axis=-1).astype(np.float64)
    light = np.maximum(1, 255 - black)[..., None]
    ink = np.concatenate([255 - pixels * (255 / light), black[..., None]], axis=-1)
    return ink.round().astype(np.uint8)


def from_ink(ink: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the sRGB pixels of ink 0..255 in the plainest model, (1 - ink)(1 - black): that of our profile."""
    share = ink.astype(np.float64) / 255
    return ((1 - share[..., :3]) * (1 - share[..., 3:]) * 255).round().astype(np.uint8)

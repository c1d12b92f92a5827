"""Colour spaces that files state without a profile: code points of ITU-T H.273 (`nclx`, `cICP`), gamma and primaries.

Brightness above that of white paper (PQ and HLG, 203 cd/m² by ITU-R BT.2408) is compressed: up to three quarters of
paper white nothing changes, above it an exponential shoulder leads to white. The largest of the three channels sets
the factor for all three, so hues stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cutstream.images import Pixels
from cutstream.images.blocks import row_blocks
from cutstream.images.header import CodePoints

# x and y of red, green, blue and white
Chromaticities: TypeAlias = tuple[float, float, float, float, float, float, float, float]
Linear: TypeAlias = NDArray[np.float32]

D65, C, DCI, E = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351), (1 / 3, 1 / 3)
SRGB_PRIMARIES: Chromaticities = (0.640, 0.330, 0.300, 0.600, 0.150, 0.060, *D65)
PRIMARIES: dict[int, Chromaticities] = {  # H.273, table 2
    1: SRGB_PRIMARIES,
    2: SRGB_PRIMARIES,  # unspecified
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, *C),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *D65),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *D65),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *D65),
    8: (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, *C),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *D65),
    10: (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, *E),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *DCI),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *D65),
    22: (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, *D65),
}
# Table 3. The curves of television (1, 6, 7, 11, 12) are shown with that of sRGB, as viewers do.
SRGB_CURVE = frozenset({1, 2, 6, 7, 11, 12, 13})
BT2020 = frozenset({14, 15})
GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}
PQ, HLG = 16, 18

PAPER_WHITE, PQ_PEAK, HLG_PEAK, HLG_SYSTEM_GAMMA = 203.0, 10_000.0, 1_000.0, 1.2  # cd/m²
KNEE = 0.75
BT2020_LUMA = (0.2627, 0.6780, 0.0593)
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
TINY = 1e-9  # instead of a chromaticity y of 0
BRIGHTEST = PQ_PEAK / PAPER_WHITE
SHOULDER_STEPS = 65_535  # 0.0008 of paper white each
ENCODING_STEPS = 16_383  # 0.2 levels where the curve is steepest


@dataclass(frozen=True, slots=True)
class ColourSpace:
    """Primaries with their white, and either a code of `transfer` or, where that is 0, a `gamma`."""

    primaries: Chromaticities
    transfer: int
    gamma: float = 1.0

    @property
    def is_srgb(self) -> bool:
        near = all(abs(a - b) < 0.002 for a, b in zip(self.primaries, SRGB_PRIMARIES, strict=True))
        return near and self.transfer in SRGB_CURVE


def by_code_points(points: CodePoints) -> ColourSpace | None:
    """Return the colour space of code points, or None if one of them is reserved."""
    if points.primaries not in PRIMARIES or points.transfer not in {*SRGB_CURVE, *BT2020, *GAMMAS, PQ, HLG}:
        return None
    return ColourSpace(PRIMARIES[points.primaries], points.transfer)


def by_chromaticities(gamma: float, primaries: Chromaticities | None) -> ColourSpace | None:
    """Return the colour space of a decoding gamma, or None if there is none. About 2.2 means the curve of sRGB."""
    space = ColourSpace(primaries or SRGB_PRIMARIES, 13 if 2.1 < gamma < 2.3 else 0, gamma)
    if not 0.1 < gamma < 10:
        return None
    try:
        usable = np.isfinite(_matrix(space.primaries)).all()
    except (np.linalg.LinAlgError, ZeroDivisionError):
        return None
    return space if usable else None


def to_srgb(samples: NDArray[Any], space: ColourSpace) -> Pixels:
    """Convert u8 or u16 samples, H×W×1 grey or H×W×3, to sRGB u8 H×W×3."""
    height, width, channels = samples.shape
    curve = _curve(space, np.iinfo(samples.dtype).max)
    matrix = _matrix(space.primaries).astype(np.float32)
    result = np.empty((height, width, 3), np.uint8)
    for rows in row_blocks(height, width):
        planes = [curve[samples[rows, :, channel]] for channel in range(channels)]
        if space.transfer == HLG:
            planes = _system_gamma(planes)
        if space.transfer in (PQ, HLG):
            planes = _compress(planes)
        if channels == 3:
            red, green, blue = planes
            planes = [red * row[0] + green * row[1] + blue * row[2] for row in matrix]
        for channel in range(3):
            result[rows, :, channel] = encode(planes[channel % channels])
    return result


def _curve(space: ColourSpace, top: int) -> Linear:
    """Return the linear light of every sample value; 1 is paper white."""
    value = np.arange(top + 1) / top
    match space.transfer:
        case code if code == PQ:  # SMPTE ST 2084
            m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
            power = value ** (1 / m2)
            linear = (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1) * PQ_PEAK / PAPER_WHITE
        case code if code == HLG:  # ITU-R BT.2100, scene light
            a, b, c = 0.17883277, 0.28466892, 0.55991073
            linear = np.where(value <= 0.5, value**2 / 3, (np.exp((value - c) / a) + b) / 12)
        case code if code in SRGB_CURVE:
            linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
        case code if code in BT2020:
            linear = np.where(value < 0.081, value / 4.5, ((value + 0.099) / 1.099) ** (1 / 0.45))
        case code:
            linear = value ** GAMMAS.get(code, space.gamma)
    return linear.astype(np.float32)


def encode(linear: Linear) -> Pixels:
    """Encode linear light, 1 for white, as sRGB. What lies outside 0..1 is clipped."""
    steps = (np.clip(linear, 0, 1) * np.float32(ENCODING_STEPS) + np.float32(0.5)).astype(np.uint16)
    return np.take(_ENCODING, steps)


def _encoding() -> NDArray[np.uint8]:
    linear = np.arange(ENCODING_STEPS + 1) / ENCODING_STEPS
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(255 * encoded).astype(np.uint8)


_ENCODING = _encoding()


def _system_gamma(scene: list[Linear]) -> list[Linear]:
    luma = scene[0]
    if len(scene) == 3:
        red, green, blue = (plane * np.float32(weight) for plane, weight in zip(scene, BT2020_LUMA, strict=True))
        luma = red + green + blue
    factor = luma ** np.float32(HLG_SYSTEM_GAMMA - 1) * np.float32(HLG_PEAK / PAPER_WHITE)
    return [plane * factor for plane in scene]


def _compress(linear: list[Linear]) -> list[Linear]:
    largest = linear[0] if len(linear) == 1 else np.maximum(np.maximum(linear[0], linear[1]), linear[2])
    factor = np.take(_SHOULDER, (largest * np.float32(SHOULDER_STEPS / BRIGHTEST)).astype(np.uint16), mode="clip")
    return [plane * factor for plane in linear]


def _shoulder() -> Linear:
    """Return the factor for each largest channel, up to the peak of PQ."""
    largest = np.maximum((np.arange(SHOULDER_STEPS + 1) + 0.5) * BRIGHTEST / SHOULDER_STEPS, 1e-6)
    compressed = KNEE + (1 - KNEE) * (1 - np.exp((KNEE - largest) / (1 - KNEE)))
    return (np.where(largest > KNEE, compressed, largest) / largest).astype(np.float32)


_SHOULDER = _shoulder()


def _matrix(primaries: Chromaticities) -> NDArray[np.float64]:
    """Return the matrix from linear light of these primaries to that of sRGB, white to white."""
    from_space, white = _to_xyz(primaries)
    to_srgb, srgb_white = _to_xyz(SRGB_PRIMARIES)
    adapt = np.linalg.inv(BRADFORD) @ np.diag((BRADFORD @ srgb_white) / (BRADFORD @ white)) @ BRADFORD
    return np.asarray(np.linalg.inv(to_srgb) @ adapt @ from_space)


def _to_xyz(primaries: Chromaticities) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the matrix from linear RGB to XYZ, and the XYZ of white."""
    points = zip(primaries[::2], primaries[1::2], strict=True)
    xyz = np.array([(x / (y or TINY), 1.0, (1 - x - y) / (y or TINY)) for x, y in points]).T
    corners, white = xyz[:, :3], xyz[:, 3]
    return corners * np.linalg.solve(corners, white), white

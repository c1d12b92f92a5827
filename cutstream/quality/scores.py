"""All measures of one photo, and their means over several photos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from cutstream.images import Matte, Pixels
from cutstream.quality.alpha import gradient_error, mean_absolute_error, sum_of_absolute_differences
from cutstream.quality.contour import BANDS, band, separation
from cutstream.quality.edges import noise_sigma, sharpness
from cutstream.quality.illumination import illumination_consistency
from cutstream.quality.overlap import box_share, coverage, f_score, iou
from cutstream.quality.parts import count_ghosts, count_holes


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """The measures of one photo. docs/evaluation.md gives definition, unit, range and better direction of each.

    A measure is None if the photo does not have it, such as the sharpness of an edge that does not exist.
    """

    iou: float
    mae: float
    f03: float
    f1: float
    sad: float
    gradient: float
    boundary_f1: float
    hausdorff: float
    hausdorff95: float
    hausdorff_band: str
    ghosts: float
    holes: float
    sharpness: float | None
    noise_sigma: float | None
    illumination: float | None
    coverage: float
    box_share: float
    time_ms: float | None


class Summary(Scores, frozen=True, kw_only=True):
    """The mean of each measure over `count` photos, None left out. The band is that of the mean distance.

    `with_ghosts` and `with_holes` are the numbers of photos that have any.
    """

    count: int
    hausdorff_bands: dict[str, int]
    with_ghosts: int
    with_holes: int


def score(pixels: Pixels, truth: Matte, matte: Matte, time_ms: float | None = None) -> Scores:
    """Measure `matte` against `truth` for the photo `pixels`. Raises ValueError if their sizes differ."""
    if not pixels.shape[:2] == truth.shape == matte.shape:
        raise ValueError(f"photo {pixels.shape}, truth {truth.shape} and matte {matte.shape} must have the same size")
    apart = separation(matte, truth)
    return Scores(
        iou=iou(matte, truth),
        mae=mean_absolute_error(matte, truth),
        f03=f_score(matte, truth, 0.3),
        f1=f_score(matte, truth, 1.0),
        sad=sum_of_absolute_differences(matte, truth),
        gradient=gradient_error(matte, truth),
        boundary_f1=apart.boundary_f1(),
        hausdorff=apart.hausdorff(),
        hausdorff95=apart.hausdorff(95),
        hausdorff_band=band(apart.hausdorff()),
        ghosts=count_ghosts(matte, truth),
        holes=count_holes(matte, truth),
        sharpness=sharpness(matte),
        noise_sigma=noise_sigma(pixels, matte),
        illumination=illumination_consistency(pixels, matte),
        coverage=coverage(matte),
        box_share=box_share(matte),
        time_ms=time_ms,
    )


def summarise(scores: Sequence[Scores]) -> Summary:
    """Average the measures of at least one photo."""
    names = [name for name in Scores.__struct_fields__ if name != "hausdorff_band"]
    means: dict[str, Any] = {name: _mean([getattr(photo, name) for photo in scores]) for name in names}
    counted = Counter(photo.hausdorff_band for photo in scores)
    return Summary(
        **means,
        hausdorff_band=band(means["hausdorff"] or 0.0),
        count=len(scores),
        hausdorff_bands={name: counted[name] for name, _ in BANDS},
        with_ghosts=sum(photo.ghosts > 0 for photo in scores),
        with_holes=sum(photo.holes > 0 for photo in scores),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None

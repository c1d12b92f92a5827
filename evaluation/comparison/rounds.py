"""Profiles side by side over seeded rounds of photos: each photo is cut out once, each round is a draw among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from statistics import fmean, pstdev
from typing import TypeVar

import msgspec
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from cutstream.contract.messages import ServedModel
from cutstream.quality.scores import Scores, summarise

Item = TypeVar("Item")
MEASURES = ("time_ms", "iou", "f03", "mae")


class Figure(msgspec.Struct, frozen=True):
    """Over the rounds: the mean of their means, and how far these lie apart (standard deviation)."""

    mean: float
    spread: float


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One profile. `rounds` has each round's means, `photos` each photo's scores."""

    profile: str
    model: ServedModel | None
    figures: dict[str, Figure]
    rounds: list[dict[str, float]]
    photos: dict[str, Scores]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON document. `left_out` says of profiles that were to be compared why they were not."""

    folder: str
    seed: int
    draws: list[list[str]]
    profiles: list[Row]
    left_out: dict[str, str] = {}


def draws(items: Sequence[Item], size: int, rounds: int, seed: int) -> list[list[Item]]:
    """For each round `size` of the items, all where there are no more; equal for equal seeds."""
    return [Random(f"{seed}/{number}").sample(items, min(size, len(items))) for number in range(rounds)]


def row(profile: str, model: ServedModel | None, photos: Mapping[str, Scores], rounds: Sequence[Sequence[str]]) -> Row:
    """`rounds` names the photos of each, all of which `photos` has."""
    means = [_means([photos[stem] for stem in stems]) for stems in rounds]
    figures = {name: Figure(fmean(values), pstdev(values)) for name in means[0] if (values := [m[name] for m in means])}
    return Row(profile=profile, model=model, figures=figures, rounds=means, photos=dict(photos))


def table(comparison: Comparison) -> Table:
    rounds, photos = len(comparison.draws), len(comparison.draws[0])
    shown = Table(box=SIMPLE_HEAD, title=f"{rounds} rounds of {photos} photos, mean ± spread of the rounds")
    for heading in ("profile", "ms ↓", "IoU ↑", "F.3 ↑", "MAE ↓"):
        shown.add_column(heading, justify="left" if heading == "profile" else "right")
    for one in comparison.profiles:
        shown.add_row(one.profile, *(_cell(name, one.figures.get(name)) for name in MEASURES))
    return shown


def nets(comparison: Comparison) -> Table:
    """What made each row; apart from the figures, beside which the names would not fit a terminal of 80 columns."""
    shown = Table("profile", "nets", box=SIMPLE_HEAD)
    for one in comparison.profiles:
        shown.add_row(one.profile, ", ".join(one.model.networks) if one.model else "")
    for profile, why in comparison.left_out.items():
        shown.add_row(profile, Text(f"left out: {why}"))  # not as markup: it quotes paths
    return shown


def _means(scores: Sequence[Scores]) -> dict[str, float]:
    summary = summarise(scores)
    found = {name: getattr(summary, name) for name in MEASURES}
    return {name: value for name, value in found.items() if value is not None}


def _cell(name: str, figure: Figure | None) -> str:
    if figure is None:
        return "–"
    return (
        f"{figure.mean:.0f} ± {figure.spread:.0f}" if name == "time_ms" else f"{figure.mean:.3f} ± {figure.spread:.3f}"
    )

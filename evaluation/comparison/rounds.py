"""Compare profiles over rounds of photos. Each photo is cut out once; each round is a random draw of photos."""

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


class MeanAndSpread(msgspec.Struct, frozen=True):
    """A measure over the rounds: the mean of the rounds' means, and their standard deviation."""

    mean: float
    spread: float


class ProfileRow(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one profile. `rounds` has each round's means, `photos` each photo's scores by stem."""

    profile: str
    model: ServedModel | None
    figures: dict[str, MeanAndSpread]
    rounds: list[dict[str, float]]
    photos: dict[str, Scores]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON document. `draws` has each round's photos, `left_out` the reason for each profile that is missing."""

    folder: str
    seed: int
    draws: list[list[str]]
    profiles: list[ProfileRow]
    left_out: dict[str, str] = {}


def draw_rounds(items: Sequence[Item], size: int, rounds: int, seed: int) -> list[list[Item]]:
    """Draw `size` items for each round, or all if there are fewer. The same seed gives the same draws."""
    return [Random(f"{seed}/{number}").sample(items, min(size, len(items))) for number in range(rounds)]


def build_row(
    profile: str, model: ServedModel | None, photos: Mapping[str, Scores], rounds: Sequence[Sequence[str]]
) -> ProfileRow:
    """Summarise the scores of one profile. `rounds` has the stems of each round, all of which are in `photos`."""
    means = [_means([photos[stem] for stem in stems]) for stems in rounds]
    by_measure = {name: [round_means[name] for round_means in means] for name in means[0]}
    figures = {name: MeanAndSpread(fmean(values), pstdev(values)) for name, values in by_measure.items()}
    return ProfileRow(profile=profile, model=model, figures=figures, rounds=means, photos=dict(photos))


def build_table(comparison: Comparison) -> Table:
    rounds, photos = len(comparison.draws), len(comparison.draws[0])
    table = Table(box=SIMPLE_HEAD, title=f"{rounds} rounds of {photos} photos, mean ± spread of the rounds")
    for heading in ("profile", "ms ↓", "IoU ↑", "F.3 ↑", "MAE ↓"):
        table.add_column(heading, justify="left" if heading == "profile" else "right")
    for row in comparison.profiles:
        table.add_row(row.profile, *(_cell(name, row.figures.get(name)) for name in MEASURES))
    return table


def build_networks_table(comparison: Comparison) -> Table:
    """List the networks of each profile, and the reasons for profiles that are left out.

    The names have a table of their own because they do not fit beside the figures in a terminal of 80 columns.
    """
    table = Table("profile", "networks", box=SIMPLE_HEAD)
    for row in comparison.profiles:
        table.add_row(row.profile, ", ".join(row.model.networks) if row.model else "")
    for profile, reason in comparison.left_out.items():
        table.add_row(profile, Text(f"left out: {reason}"))  # Text, not markup: it quotes paths
    return table


def _means(scores: Sequence[Scores]) -> dict[str, float]:
    summary = summarise(scores)
    means = {name: getattr(summary, name) for name in MEASURES}
    return {name: value for name, value in means.items() if value is not None}


def _cell(measure: str, figure: MeanAndSpread | None) -> str:
    if figure is None:
        return "–"
    digits = 0 if measure == "time_ms" else 3
    return f"{figure.mean:.{digits}f} ± {figure.spread:.{digits}f}"

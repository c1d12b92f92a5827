"""Compare the matting methods on photos whose true alpha is known: `cutstream tune --matting`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import NamedTuple, get_args

import msgspec
import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cutstream.arrays.cpu import CpuOps
from cutstream.arrays.ops import ArrayOps
from cutstream.errors import InvalidOption
from cutstream.images import Image, Matte
from cutstream.matting.alpha_matting import solve_trimap
from cutstream.matting.presets import SOFT
from cutstream.matting.refine import refine
from cutstream.matting.specs import MattingMethod, MattingSpec
from cutstream.matting.trimap import BACKGROUND, SUBJECT, UNKNOWN, build_trimap
from cutstream.quality import THRESHOLD
from cutstream.quality.alpha import gradient_error, sum_of_absolute_differences
from evaluation.folder import read_matte, read_photo
from evaluation.progress import progress_bar
from evaluation.tuning.matting_sheets import draw_methods
from producer.submitting import IMAGE_SUFFIXES

ALPHA, TRIMAP = "_alpha", "_trimap"
SMALL_PX, LARGE_PX = 5, 30
NETWORK_SIDE = 320  # side of the matte that `soft` starts from
BASELINES = ("trimap", "soft")  # alpha without matting
METHODS: tuple[MattingMethod, ...] = get_args(MattingMethod)


class MethodRow(msgspec.Struct, frozen=True, kw_only=True):
    """The errors of one method in one band of one photo.

    `unknown` is the band's share of the photo; `sad` and `gradient` are in thousands.
    """

    photo: str
    band: str
    unknown: float
    method: str
    sad: float
    gradient: float
    mse: float
    seconds: float


@dataclass(frozen=True)
class AlphaExample:
    """A photo, its true alpha, and its trimap if somebody drew one."""

    stem: str
    photo: Path
    alpha: Path
    trimap: Path | None


class MethodResult(NamedTuple):
    row: MethodRow
    alpha: Matte


def compare_methods(folder: Path, out_folder: Path | None, console: Console) -> None:
    """Print a table of errors, and write `mattings.json` and a `<name>_mattings.png` for each photo to `out_folder`.

    `folder` holds each photo as `<name>.png` (or another image format) with `<name>_alpha.png`, and optionally
    `<name>_trimap.png`. Raises InvalidExamples or InvalidOption for what cannot be used.
    """
    examples, ops = find_alpha_examples(folder), CpuOps()
    _warm_up(ops)
    if out_folder is not None:
        out_folder.mkdir(parents=True, exist_ok=True)
    rows: list[MethodRow] = []
    with progress_bar(console) as progress:
        for example in progress.track(examples, description="matting"):
            rows += _compare_on(example, out_folder, ops)
    console.print(build_table(rows))
    if out_folder is not None:
        (out_folder / "mattings.json").write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=2))
        console.print(f"rows and images: {out_folder}", markup=False, highlight=False, soft_wrap=True)


def find_alpha_examples(folder: Path) -> list[AlphaExample]:
    """Return the photos that have a true alpha, sorted by name. Raises InvalidOption if there are none."""
    files = {path.stem: path for path in sorted(folder.glob("*")) if path.suffix.lower() in IMAGE_SUFFIXES}
    examples = [
        AlphaExample(stem, files[stem], files[stem + ALPHA], files.get(stem + TRIMAP))
        for stem in files
        if stem + ALPHA in files
    ]
    if not examples:
        raise InvalidOption(f"{folder} holds no photo with its true alpha: <name>.png and <name>{ALPHA}.png")
    return examples


def build_bands(truth: Matte, drawn: Matte | None, ops: ArrayOps) -> dict[str, Matte]:
    """Return the trimaps to solve, by name.

    In `small` and `large` everything soft is unknown. `automatic` is the trimap of a network's sharp mask. `drawn` is
    the photo's own trimap.
    """
    default = MattingSpec()
    bands = {
        f"small, {SMALL_PX} px": build_trimap(truth, SMALL_PX, SMALL_PX, ops),
        f"large, {LARGE_PX} px": build_trimap(truth, LARGE_PX, LARGE_PX, ops),
        f"automatic, {default.erode} px": build_trimap(_sharp(truth), default.erode, default.dilate, ops),
    }
    if drawn is not None:
        known = (drawn == BACKGROUND) | (drawn == SUBJECT)
        bands["drawn"] = np.where(known, drawn, UNKNOWN).astype(np.uint8)
    return bands


def measure_methods(
    stem: str, photo: Image, truth: Matte, drawn: Matte | None, ops: ArrayOps
) -> Iterator[MethodResult]:
    """Run the baselines, then every method, in each band, and yield the errors and the alpha of each.

    The baselines are the band at its middle value, and `soft` refinement of a small sharp matte.
    """
    sharp = _sharp(truth)
    for band, band_trimap in build_bands(truth, drawn, ops).items():
        unknown = float((band_trimap == UNKNOWN).mean())
        for method in (*BASELINES, *METHODS):
            start = perf_counter()
            alpha = _estimate_alpha(method, band_trimap, sharp, photo, ops)
            seconds = perf_counter() - start
            yield MethodResult(
                MethodRow(
                    photo=stem,
                    band=band,
                    unknown=unknown,
                    method=method,
                    sad=sum_of_absolute_differences(alpha, truth),
                    gradient=gradient_error(alpha, truth),
                    mse=float(np.mean(np.square((alpha.astype(np.float32) - truth) / 255))),
                    seconds=seconds,
                ),
                alpha,
            )


def build_table(rows: Sequence[MethodRow]) -> Table:
    """List the means over the photos."""
    photos = len({row.photo for row in rows})
    table = Table(box=SIMPLE_HEAD, title=f"{photos} photo{'s' * (photos > 1)} with true alpha, means")
    for heading in ("band", "unknown", "method", "SAD ↓", "grad. ↓", "MSE ↓", "s ↓"):
        table.add_column(heading, justify="left" if heading in ("band", "method") else "right", no_wrap=True)
    groups: dict[tuple[str, str], list[MethodRow]] = {}
    for row in rows:
        groups.setdefault((row.band, row.method), []).append(row)
    for (band, method), group in groups.items():
        sad, gradient, mse, seconds, unknown = (
            fmean(getattr(row, name) for row in group) for name in ("sad", "gradient", "mse", "seconds", "unknown")
        )
        table.add_row(band, f"{unknown:.1%}", method, f"{sad:.2f}", f"{gradient:.2f}", f"{mse:.5f}", f"{seconds:.3f}")
    return table


def _compare_on(example: AlphaExample, out_folder: Path | None, ops: ArrayOps) -> list[MethodRow]:
    pixels = read_photo(example.photo)
    truth = read_matte(example.alpha, pixels, example.photo)
    drawn = read_matte(example.trimap, pixels, example.photo) if example.trimap else None
    results = list(measure_methods(example.stem, Image(pixels), truth, drawn, ops))
    if out_folder is not None:
        alphas = {(result.row.band, result.row.method): result.alpha for result in results}
        draw_methods(pixels, truth, alphas, ops).save(out_folder / f"{example.stem}_mattings.png")
    return [result.row for result in results]


def _estimate_alpha(method: str, band_trimap: Matte, sharp: Matte, photo: Image, ops: ArrayOps) -> Matte:
    if method == "trimap":
        return band_trimap
    if method == "soft":
        return refine(ops.resize_area(sharp, NETWORK_SIDE, NETWORK_SIDE), photo, SOFT, ops)
    return solve_trimap(band_trimap, sharp, photo, method, ops)  # type: ignore[arg-type]


def _sharp(truth: Matte) -> Matte:
    """Turn the true alpha into a hard mask, so that no method knows the alpha that it has to find."""
    return np.where(truth >= THRESHOLD, 255, 0).astype(np.uint8)


def _warm_up(ops: ArrayOps) -> None:
    """Use each method once: PyMatting compiles itself on first use, and that is not a method's own time."""
    alpha = np.zeros((64, 64), np.uint8)
    alpha[:, 32:] = 255
    for method in METHODS:
        solve_trimap(build_trimap(alpha, 50, 50, ops), alpha, Image(np.zeros((64, 64, 3), np.uint8)), method, ops)

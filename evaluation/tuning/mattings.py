"""The matting methods side by side, on photos whose true alpha is known."""

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
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
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
from evaluation.scoring.folder import read_matte, read_photo
from evaluation.tuning.matting_pictures import sheet
from producer.submitting import PICTURES

ALPHA, TRIMAP = "_alpha", "_trimap"
SMALL_PX, LARGE_PX = 5, 30
NETWORK_SIDE = 320  # of the matte that `soft` starts from
WITHOUT = ("trimap", "soft")
METHODS: tuple[MattingMethod, ...] = get_args(MattingMethod)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One method in one band of one photo: `unknown` is the band's share of it, `sad` and `gradient` in thousands."""

    photo: str
    band: str
    unknown: float
    method: str
    sad: float
    gradient: float
    mse: float
    seconds: float


@dataclass(frozen=True)
class Example:
    """A photo, its true alpha, and its trimap where one was drawn."""

    stem: str
    photo: Path
    alpha: Path
    trimap: Path | None


class Attempt(NamedTuple):
    row: Row
    alpha: Matte


def compare_mattings(folder: Path, out_folder: Path | None, console: Console) -> None:
    """Prints a table; `out_folder` gets `mattings.json` and for each photo `<name>_mattings.png`.

    `folder` holds `<name>.png` (or another picture) with `<name>_alpha.png`, and maybe `<name>_trimap.png`. Raises
    InvalidExamples and InvalidOption for what cannot be used.
    """
    found, ops = examples(folder), CpuOps()
    _warm_up(ops)
    if out_folder is not None:
        out_folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        for example in progress.track(found, description="matting"):
            rows += _compared(example, out_folder, ops)
    console.print(table(rows))
    if out_folder is not None:
        (out_folder / "mattings.json").write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=2))
        console.print(f"rows and pictures: {out_folder}", markup=False, highlight=False, soft_wrap=True)


def examples(folder: Path) -> list[Example]:
    """In the order of their names."""
    files = {path.stem: path for path in sorted(folder.glob("*")) if path.suffix.lower() in PICTURES}
    found = [
        Example(stem, files[stem], files[stem + ALPHA], files.get(stem + TRIMAP))
        for stem in files
        if stem + ALPHA in files
    ]
    if not found:
        raise InvalidOption(f"{folder} holds no photo with its true alpha: <name>.png and <name>{ALPHA}.png")
    return found


def bands(truth: Matte, drawn: Matte | None, ops: ArrayOps) -> dict[str, Matte]:
    """`small` and `large` know all that is soft; `automatic` is what a network's sharp mask would give."""
    default = MattingSpec()
    made = {
        f"small, {SMALL_PX} px": build_trimap(truth, SMALL_PX, SMALL_PX, ops),
        f"large, {LARGE_PX} px": build_trimap(truth, LARGE_PX, LARGE_PX, ops),
        f"automatic, {default.erode} px": build_trimap(_sharp(truth), default.erode, default.dilate, ops),
    }
    if drawn is not None:
        sure = (drawn == BACKGROUND) | (drawn == SUBJECT)
        made["drawn"] = np.where(sure, drawn, UNKNOWN).astype(np.uint8)
    return made


def attempts(stem: str, photo: Image, truth: Matte, drawn: Matte | None, ops: ArrayOps) -> Iterator[Attempt]:
    """In each band, first what there is without matting: its middle value, and `soft` from a small sharp matte."""
    sharp = _sharp(truth)
    for band, given in bands(truth, drawn, ops).items():
        unknown = float((given == UNKNOWN).mean())
        for method in (*WITHOUT, *METHODS):
            start = perf_counter()
            made = _made(method, given, sharp, photo, ops)
            seconds = perf_counter() - start
            yield Attempt(
                Row(
                    photo=stem,
                    band=band,
                    unknown=unknown,
                    method=method,
                    sad=sum_of_absolute_differences(made, truth),
                    gradient=gradient_error(made, truth),
                    mse=float(np.mean(np.square((made.astype(np.float32) - truth) / 255))),
                    seconds=seconds,
                ),
                made,
            )


def table(rows: Sequence[Row]) -> Table:
    """Means over the photos."""
    photos = len({row.photo for row in rows})
    shown = Table(box=SIMPLE_HEAD, title=f"{photos} photo{'s' * (photos > 1)} with true alpha, means")
    for heading in ("band", "unknown", "method", "SAD ↓", "grad. ↓", "MSE ↓", "s ↓"):
        shown.add_column(heading, justify="left" if heading in ("band", "method") else "right", no_wrap=True)
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.band, row.method), []).append(row)
    for (band, method), group in groups.items():
        sad, gradient, mse, seconds, unknown = (
            fmean(getattr(row, name) for row in group) for name in ("sad", "gradient", "mse", "seconds", "unknown")
        )
        shown.add_row(band, f"{unknown:.1%}", method, f"{sad:.2f}", f"{gradient:.2f}", f"{mse:.5f}", f"{seconds:.3f}")
    return shown


def _compared(example: Example, out_folder: Path | None, ops: ArrayOps) -> list[Row]:
    pixels = read_photo(example.photo)
    truth = read_matte(example.alpha, pixels, example.photo)
    drawn = read_matte(example.trimap, pixels, example.photo) if example.trimap else None
    made = list(attempts(example.stem, Image(pixels), truth, drawn, ops))
    if out_folder is not None:
        pictures = {(one.row.band, one.row.method): one.alpha for one in made}
        sheet(pixels, truth, pictures, ops).save(out_folder / f"{example.stem}_mattings.png")
    return [one.row for one in made]


def _made(method: str, given: Matte, sharp: Matte, photo: Image, ops: ArrayOps) -> Matte:
    if method == "trimap":
        return given
    if method == "soft":
        return refine(ops.resize_area(sharp, NETWORK_SIDE, NETWORK_SIDE), photo, SOFT, ops)
    return solve_trimap(given, sharp, photo, method, ops)  # type: ignore[arg-type]


def _sharp(truth: Matte) -> Matte:
    """The true alpha as a mask, so that no method is told what it is to find."""
    return np.where(truth >= THRESHOLD, 255, 0).astype(np.uint8)


def _warm_up(ops: ArrayOps) -> None:
    """PyMatting compiles itself when it is first used, which is no method's own time."""
    alpha = np.zeros((64, 64), np.uint8)
    alpha[:, 32:] = 255
    for method in METHODS:
        solve_trimap(build_trimap(alpha, 50, 50, ops), alpha, Image(np.zeros((64, 64, 3), np.uint8)), method, ops)

"""CPU time of one photo's edges: from the network's matte to a cutout's PNG, with and without decontamination.

Beside it the plain way with Pillow: the matte interpolated, `putalpha`, PNG with Pillow's defaults. All on one core, in
turns; the photo is scikit-image's astronaut, 1500×1000 with sensor-like noise, and the matte is cutnet's own of it.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image as Pillow
from rich.console import Console
from rich.table import Table

from benchmarks.machine import record
from benchmarks.photos import make
from cutstream.arrays.cpu import CpuOps
from cutstream.images import Image, Matte
from cutstream.images.png import encode_png
from cutstream.matting.foreground import foreground
from cutstream.matting.presets import SOFT
from cutstream.matting.refine import prepare, refine
from export.profiles import network_file, size_of

WARM_UP, TURNS = 2, 25
OPS = CpuOps()


def main() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    photo = _photo()
    matte = _matte(photo)
    alpha = refine(matte, photo, SOFT, OPS)
    ways = {
        "cutout": lambda: _cutout(photo, matte),
        "cutout, decontaminated": lambda: _decontaminated(photo, matte),
        "Pillow": lambda: _with_pillow(photo, matte),
    }
    ms = {way: round(median(times), 1) for way, times in _in_turns(ways).items()}
    line = record(
        "edges",
        pixels=[photo.width, photo.height],
        undecided=round(float(((alpha > 0) & (alpha < 255)).mean()), 4),
        cpu_ms=ms,
        ratio_to_pillow={way: round(ms["Pillow"] / spent, 2) for way, spent in ms.items()},
        bytes={way: len(work()) for way, work in ways.items()},
    )
    _print(line)


def _photo() -> Image:
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), count=1)
        with Pillow.open(next(Path(folder).iterdir())) as picture:
            return Image(np.asarray(picture.convert("RGB")))


def _matte(photo: Image) -> Matte:
    session = onnxruntime.InferenceSession(network_file("cutnet"), providers=["CPUExecutionProvider"])
    height, width = size_of("cutnet")
    return session.run(None, {"image": prepare(photo, width, height, OPS)[None]})[0][0]


def _cutout(photo: Image, matte: Matte) -> bytes:
    return encode_png(OPS.rgba(photo.pixels, refine(matte, photo, SOFT, OPS)))


def _decontaminated(photo: Image, matte: Matte) -> bytes:
    alpha = refine(matte, photo, SOFT, OPS)
    return encode_png(OPS.rgba(foreground(photo.pixels, alpha, OPS), alpha))


def _with_pillow(photo: Image, matte: Matte) -> bytes:
    cutout = Pillow.fromarray(photo.pixels)
    cutout.putalpha(Pillow.fromarray(matte).resize(cutout.size, Pillow.Resampling.BILINEAR))
    buffer = BytesIO()
    cutout.save(buffer, "PNG")
    return buffer.getvalue()


def _in_turns(ways: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """CPU milliseconds of this process; in turns, since the speed of a shared machine drifts."""
    spent: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(WARM_UP + TURNS):
        for way, work in ways.items():
            began = time.process_time()
            work()
            if turn >= WARM_UP:
                spent[way].append((time.process_time() - began) * 1e3)
    return spent


def _print(line: dict[str, Any]) -> None:
    table = Table("way", "CPU ms", "times faster than Pillow", "bytes", title=f"{line['machine']['cpu']}, one core")
    for way, spent in line["cpu_ms"].items():
        table.add_row(way, str(spent), str(line["ratio_to_pillow"][way]), f"{line['bytes'][way]:,}")
    Console().print(table)


if __name__ == "__main__":
    main()

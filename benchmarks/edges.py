"""Measure the CPU time from the network's matte to a cutout's PNG: `python -m benchmarks.edges`.

It compares cutouts with and without decontamination with the plain method in Pillow: interpolated matte, `putalpha`,
PNG with Pillow's defaults. All methods run on one core, in turns. The photo is scikit-image's astronaut, 1500×1000 with
noise like a sensor's; the matte is cutnet's.
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
from benchmarks.photos import make_photos
from cutstream.arrays.cpu import CpuOps
from cutstream.images import Image, Matte
from cutstream.images.png_encoder import encode_png
from cutstream.matting.foreground import estimate_foreground
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
    methods = {
        "cutout": lambda: _cutout(photo, matte),
        "cutout, decontaminated": lambda: _decontaminated(photo, matte),
        "Pillow": lambda: _with_pillow(photo, matte),
    }
    ms = {method: round(median(times), 1) for method, times in _time_in_turns(methods).items()}
    line = record(
        "edges",
        pixels=[photo.width, photo.height],
        undecided=round(float(((alpha > 0) & (alpha < 255)).mean()), 4),
        cpu_ms=ms,
        ratio_to_pillow={method: round(ms["Pillow"] / spent, 2) for method, spent in ms.items()},
        bytes={method: len(work()) for method, work in methods.items()},
    )
    _print(line)


def _photo() -> Image:
    with tempfile.TemporaryDirectory() as folder:
        make_photos(Path(folder), count=1)
        with Pillow.open(next(Path(folder).iterdir())) as image:
            return Image(np.asarray(image.convert("RGB")))


def _matte(photo: Image) -> Matte:
    session = onnxruntime.InferenceSession(network_file("cutnet"), providers=["CPUExecutionProvider"])
    height, width = size_of("cutnet")
    return session.run(None, {"image": prepare(photo, width, height, OPS)[None]})[0][0]


def _cutout(photo: Image, matte: Matte) -> bytes:
    return encode_png(OPS.rgba(photo.pixels, refine(matte, photo, SOFT, OPS)))


def _decontaminated(photo: Image, matte: Matte) -> bytes:
    alpha = refine(matte, photo, SOFT, OPS)
    return encode_png(OPS.rgba(estimate_foreground(photo.pixels, alpha, OPS), alpha))


def _with_pillow(photo: Image, matte: Matte) -> bytes:
    cutout = Pillow.fromarray(photo.pixels)
    cutout.putalpha(Pillow.fromarray(matte).resize(cutout.size, Pillow.Resampling.BILINEAR))
    buffer = BytesIO()
    cutout.save(buffer, "PNG")
    return buffer.getvalue()


def _time_in_turns(methods: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Return CPU milliseconds of this process. Methods take turns because the speed of a shared machine drifts."""
    spent: dict[str, list[float]] = {method: [] for method in methods}
    for turn in range(WARM_UP + TURNS):
        for method, work in methods.items():
            began = time.process_time()
            work()
            if turn >= WARM_UP:
                spent[method].append((time.process_time() - began) * 1e3)
    return spent


def _print(line: dict[str, Any]) -> None:
    table = Table("method", "CPU ms", "times faster than Pillow", "bytes", title=f"{line['machine']['cpu']}, one core")
    for method, spent in line["cpu_ms"].items():
        table.add_row(method, str(spent), str(line["ratio_to_pillow"][method]), f"{line['bytes'][method]:,}")
    Console().print(table)


if __name__ == "__main__":
    main()

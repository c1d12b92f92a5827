"""Measure how the thresholds and radii of the depth profiles change IoU and F-measure on photos with masks.

Run `python -m benchmarks.depth_ablation FOLDER`. It changes one setting (`CUTSTREAM_GLUE__…`) at a time and measures
the profiles `depth` and `depth_fused`. The networks run once per photo, in ONNX Runtime; only the glue after them runs
for each setting. Needs the weights of `depth_fused`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from onnx import ModelProto
from rich.console import Console
from rich.table import Table

from benchmarks.machine import record
from cutstream.images import Matte
from cutstream.quality.overlap import f_score, iou
from cutstream.settings import GlueSettings, ModelSettings, load
from evaluation.folder import find_examples, read_example
from export.glue.configure import configure_glue
from export.glue.join import join
from export.profiles import size_of
from export.weights.catalogue import network_for
from export.weights.store import ensure_weights

VALUES = {
    "depth_edge_threshold": (0.03, 0.06, 0.2, 0.4, 2.0),
    "depth_edge_radius": (0.0, 2.0, 8.0, 16.0),
    "depth_close_radius": (0.0, 4.0, 16.0),
    "depth_open_radius": (0.0, 8.0, 16.0),
}
HEIGHT, WIDTH = size_of("depth")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path, help="folder with images/ and masks/")
    folder = arguments.parse_args().folder
    models = load().models
    depth, semantics = _network("depth", models), _network("semantics", models)
    maps = [(_run(depth, image=image), _run(semantics, image=image), truth) for image, truth in _photos(folder)]
    default = GlueSettings()
    rows = {"defaults": _scores(default, maps)}
    for name, values in VALUES.items():
        for value in values:
            rows[f"{name}={value:g}"] = _scores(default.model_copy(update={name: value}), maps)
    record(
        "depth_ablation",
        folder=folder.name,
        photos=len(maps),
        network_overrides=[network_for(step, models).name for step in ("depth", "semantics")],
        settings=default.model_dump(),
        scores=rows,
    )
    _print(rows)


def _photos(folder: Path) -> Iterator[tuple[Matte, Matte]]:
    """Yield each photo at the ensemble's size, and its mask at the photo's own size."""
    for example in find_examples(folder):
        pixels, truth = read_example(example)
        yield cv2.resize(pixels, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), truth


def _network(step: str, models: ModelSettings) -> onnxruntime.InferenceSession:
    model = network_for(step, models)
    return _session(join(model, ensure_weights(model, models), HEIGHT, WIDTH))


def _session(graph: ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])


def _run(session: onnxruntime.InferenceSession, **tensors: Matte) -> Matte:
    return session.run(None, {name: tensor[None] for name, tensor in tensors.items()})[0][0]


def _scores(settings: GlueSettings, maps: list[tuple[Matte, Matte, Matte]]) -> dict[str, float]:
    foreground = _session(configure_glue("depth_foreground", HEIGHT, WIDTH, settings))
    scores: dict[str, list[float]] = {name: [] for name in ("depth IoU", "depth F", "fused IoU", "fused F")}
    for depth, semantics, truth in maps:
        near = _run(foreground, depth=depth)
        for profile, matte in (("depth", near), ("fused", np.minimum(near, semantics))):
            full = cv2.resize(matte, truth.shape[::-1], interpolation=cv2.INTER_LINEAR)
            scores[f"{profile} IoU"].append(iou(full, truth))
            scores[f"{profile} F"].append(f_score(full, truth, 0.3))
    return {name: round(float(np.mean(values)), 3) for name, values in scores.items()}


def _print(rows: dict[str, dict[str, float]]) -> None:
    table = Table("setting", *next(iter(rows.values())))
    for name, scores in rows.items():
        table.add_row(name, *(f"{value:.3f}" for value in scores.values()))
    Console().print(table)


if __name__ == "__main__":
    main()

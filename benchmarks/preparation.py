"""Measure what halving before the network's size costs in quality: `python -m benchmarks.preparation FOLDER`.

FOLDER has `images` and `masks`, as `cutstream evaluate` takes it. Its photos are enlarged, with noise as of a sensor,
until `prepare` halves them. cutnet's mattes are compared with the masks: from photos that were halved first, and from
the same ones without.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev

import cv2
import numpy as np
from rich.console import Console

from benchmarks.machine import record
from benchmarks.photos import add_noise
from cutstream.arrays.cpu import CpuOps
from cutstream.images import Image, Matte, Pixels
from cutstream.matting.refine import prepare
from cutstream.quality.overlap import iou
from deploy.triton.backends.precision import compile_network
from evaluation.folder import find_examples, read_example

NETWORK = Path("model_repository/cutnet/1/model.onnx")
NETWORK_SIDE = 320
LONG_SIDES = (1501, 3000)
OPS = CpuOps()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    examples = find_examples(parser.parse_args().folder)
    engine = compile_network(NETWORK, "fp32", threads=1)

    def segment(small: Pixels) -> Matte:
        return np.asarray(engine([small[None]])[0][0], np.uint8)

    for long_side in LONG_SIDES:
        random = np.random.default_rng(1)
        pairs = []
        for example in examples:
            pixels, truth = read_example(example)
            pairs.append(_compare(_enlarged(pixels, long_side, random), truth, segment))
        differences = [halved - exact for exact, halved in pairs]
        line = record(
            "preparation",
            long_side=long_side,
            photos=len(pairs),
            iou=round(fmean(exact for exact, _ in pairs), 5),
            iou_halved=round(fmean(halved for _, halved in pairs), 5),
            difference=round(fmean(differences), 5),
            standard_error=round(stdev(differences) / math.sqrt(len(differences)), 5),
        )
        Console().print(line)


def _enlarged(pixels: Pixels, long_side: int, random: np.random.Generator) -> Pixels:
    factor = long_side / max(pixels.shape[:2])
    size = round(pixels.shape[1] * factor), round(pixels.shape[0] * factor)
    return add_noise(np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC), np.uint8), random)


def _compare(pixels: Pixels, truth: Matte, segment: Callable[[Pixels], Matte]) -> tuple[float, float]:
    """Return the IoU without and with halving, at the network's size."""
    small_truth = OPS.resize_area(truth, NETWORK_SIDE, NETWORK_SIDE)
    exact = OPS.resize_area(pixels, NETWORK_SIDE, NETWORK_SIDE)
    halved = prepare(Image(pixels), NETWORK_SIDE, NETWORK_SIDE, OPS)
    return iou(segment(exact), small_truth), iou(segment(halved), small_truth)


if __name__ == "__main__":
    main()

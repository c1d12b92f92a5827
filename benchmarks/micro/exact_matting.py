"""Measure the exact mattings of one photo, in the widest band: `python -m benchmarks.micro.exact_matting`.

The photo is one of scikit-image's, enlarged, with noise like a sensor's, and the subject is a disc. Each method runs in
a process of its own, on one core; memory is what that process holds more at its peak than before.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import skimage

from cutstream.arrays.cpu import CpuOps
from cutstream.images import Image, Matte
from cutstream.matting.alpha_matting import estimate_alpha
from cutstream.matting.exact_matting import METHODS
from cutstream.matting.specs import MattingMethod, MattingSpec

SIDE, BAND, NOISE = 2000, 200, 20.0
PAGE = 4096


def main() -> None:
    for method in METHODS:
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(method,))
        process.start()
        process.join()


def measure(method: MattingMethod) -> None:
    cv2.setNumThreads(1)
    solve(photo(200), disc(200), method)  # imports and compiles
    image, matte = photo(SIDE), disc(SIDE)
    held, peak, done = resident(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], resident())

    watching = threading.Thread(target=watch)
    watching.start()
    started_s = time.process_time()
    solve(image, matte, method)
    seconds = time.process_time() - started_s
    done.set()
    watching.join()
    row = {"benchmark": f"micro/{method}", "side": SIDE, "cpu_s": round(seconds, 1), "mb": (peak[0] - held) // 10**6}
    sys.stdout.write(json.dumps(row) + "\n")


def solve(image: Image, matte: Matte, method: MattingMethod) -> Matte:
    return estimate_alpha(matte, image, MattingSpec(method=method, erode=BAND, dilate=BAND), CpuOps())


def photo(side: int) -> Image:
    coffee = cv2.imread(str(Path(skimage.__file__).parent / "data" / "coffee.png"), cv2.IMREAD_COLOR_RGB)
    noise = np.random.default_rng(0).normal(0, NOISE, (side, side, 3))
    return Image((cv2.resize(coffee, (side, side)) + noise).clip(0, 255).astype(np.uint8))


def disc(side: int) -> Matte:
    y, x = np.mgrid[:side, :side]
    return np.where(np.hypot(y - side / 2, x - side / 2) < 0.3 * side, np.uint8(255), np.uint8(0))


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


if __name__ == "__main__":
    main()

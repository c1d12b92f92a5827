"""Measure CPU time and size of decoding and encoding one 1500×1000 photo: `python -m benchmarks.micro.codecs`.

The photo is one of scikit-image's, enlarged, with noise like a sensor's: without noise every codec would look too good.
CPU time is that of this process and, for the pool, of the decoder process. The lowest of several runs counts.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage

from consumer.resources.decoding.pool import DecoderPool
from cutstream.images import Cutout, Pixels
from cutstream.images.decode import decode
from cutstream.images.encode import encode
from cutstream.images.header import read_header

WIDTH, HEIGHT, NOISE, RUNS = 1500, 1000, 4.0, 15
LIMIT = 50_000_000


def photo() -> Pixels:
    coffee = cv2.imread(str(Path(skimage.__file__).parent / "data" / "coffee.png"), cv2.IMREAD_COLOR_RGB)
    large = cv2.resize(coffee, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(0).normal(0, NOISE, large.shape)
    return np.clip(large + noise, 0, 255).astype(np.uint8)


def cutout(pixels: Pixels) -> Cutout:
    """Return a soft ellipse over 37 % of the image, with a zeroed background."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot((x - WIDTH / 2) / 450, (y - HEIGHT / 2) / 380)
    alpha = (np.clip((1.02 - distance) / 0.04, 0, 1) * 255).astype(np.uint8)
    rgba = np.dstack([pixels, alpha])
    rgba[alpha == 0] = 0
    return np.ascontiguousarray(rgba)


def cpu_s(pids: tuple[int, ...]) -> float:
    children = (int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9 for pid in pids)
    return time.process_time() + sum(children)


def measure(name: str, call: Callable[[], Any], pids: tuple[int, ...] = ()) -> None:
    took = []
    for _ in range(RUNS):
        started = cpu_s(pids)
        result = call()
        took.append(cpu_s(pids) - started)
    size = len(result) if isinstance(result, bytes) else None
    line = {"benchmark": f"codec/{name}", "cpu_ms": round(min(took) * 1e3, 2), "bytes": size}
    sys.stdout.write(json.dumps(line) + "\n")


def main() -> None:
    cv2.setNumThreads(1)
    pixels = photo()
    rgba = cutout(pixels)
    files = {
        "jpeg q90 4:2:0": cv2.imencode(".jpg", pixels[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 90))[1].tobytes(),
        "png": encode(pixels, "png"),
        "webp q90": encode(pixels, "webp", 90),
    }
    pool = DecoderPool(1, 20, max_bytes=30_000_000, max_pixels=LIMIT, on_restart=lambda: None)
    pool.start()
    for name, data in files.items():
        header = read_header(data, LIMIT)
        measure(f"header/{name}", lambda data=data: read_header(data, LIMIT))
        measure(f"decode/{name}", lambda data=data, header=header: decode(data, header))
        measure(f"pool/{name}", lambda data=data, header=header: pool.decode(data, header), pool.pids)
    pool.close()
    measure("encode/png RGBA", lambda: encode(rgba, "png"))
    measure("encode/png RGB", lambda: encode(pixels, "png"))
    measure("encode/png mask", lambda: encode(np.ascontiguousarray(rgba[..., 3]), "png"))
    measure("encode/webp RGBA q90", lambda: encode(rgba, "webp", 90))
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
    measure("encode/webp RGBA q100 of noise", lambda: encode(noise, "webp", 100))
    measure("encode/png RGBA of noise", lambda: encode(noise, "png"))
    measure("encode/jpeg RGB q90", lambda: encode(pixels, "jpeg", 90))
    measure("encode/jpeg RGB q90 300 dpi", lambda: encode(pixels, "jpeg", 90, dpi=(300, 300)))


if __name__ == "__main__":
    main()

"""Does a served graph answer like the published pipeline? Compared on photos."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from cutstream.arrays.cpu import CpuOps
from cutstream.images import Matte, Pixels
from cutstream.quality.overlap import iou
from export.repository.join import join
from export.weights.catalogue import Model

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
PHOTOS = {".jpg", ".jpeg", ".png", ".webp"}

Cut: TypeAlias = Callable[[Pixels], Matte]


@dataclass(frozen=True)
class Parity:
    """Two ways to a matte over the same photos: differences in grey levels, IoU of the subjects cut at 128."""

    photos: int
    max_difference: int
    mean_difference: float
    mean_iou: float
    min_iou: float


def reference_input(image: Pixels) -> NDArray[np.float32]:
    """As the authors of U²-Net normalise: u8 H×W×3 RGB → f32 1×3×H×W."""
    scaled = image.astype(np.float32) / max(int(image.max()), 1)
    normalised: NDArray[np.float32] = ((scaled - MEAN) / DEVIATION).astype(np.float32)
    return normalised.transpose(2, 0, 1)[None]


def reference_matte(saliency: NDArray[np.float32]) -> Matte:
    """f32 1×1×H×W → u8 H×W, from the picture's own minimum to its maximum."""
    fused = saliency[0, 0]
    low, high = fused.min(), fused.max()
    matte: Matte = np.rint((fused - low) / max(high - low, 1e-6) * 255).astype(np.uint8)
    return matte


def reference(weights: Path) -> Cut:
    """The net as published, glue in NumPy."""
    session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
    name, output = session.get_inputs()[0].name, session.get_outputs()[0].name
    return lambda image: reference_matte(session.run([output], {name: reference_input(image)})[0])


def served(model: Model, weights: Path) -> Cut:
    """The joined graph that Triton gets."""
    graph = join(model, weights).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return lambda image: np.asarray(session.run(["matte"], {"image": image[None]})[0][0])


def compare(one: Cut, other: Cut, pictures: Iterable[Pixels]) -> Parity:
    pairs = [(one(picture), other(picture)) for picture in pictures]
    differences = [np.abs(a.astype(np.int16) - b) for a, b in pairs]
    overlaps = [iou(a, b) for a, b in pairs]
    return Parity(
        photos=len(pairs),
        max_difference=max(int(difference.max()) for difference in differences),
        mean_difference=float(np.mean([difference.mean() for difference in differences])),
        mean_iou=float(np.mean(overlaps)),
        min_iou=min(overlaps),
    )


def photos(folder: Path, model: Model) -> Iterator[Pixels]:
    """A folder's pictures at the net's input size."""
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in PHOTOS):
        yield photo(path, model.height, model.width)


def photo(path: Path, height: int, width: int) -> Pixels:
    """A picture at this size, as the worker resizes it: u8 H×W×3 RGB."""
    with Image.open(path) as picture:
        return CpuOps().resize_area(np.asarray(picture.convert("RGB")), width, height)

"""Compare the mattes of two pipelines on photos, such as a served graph and the published network."""

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
from export.glue.join import join
from export.weights.catalogue import Model

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}

MatteFunction: TypeAlias = Callable[[Pixels], Matte]


@dataclass(frozen=True)
class Parity:
    """The comparison of two pipelines over photos: differences in grey levels, and IoU of the mattes cut at 128."""

    photos: int
    max_difference: int
    mean_difference: float
    mean_iou: float
    min_iou: float


def reference_input(image: Pixels) -> NDArray[np.float32]:
    """Normalise as the authors of U²-Net do: u8 H×W×3 RGB → f32 1×3×H×W."""
    scaled = image.astype(np.float32) / max(int(image.max()), 1)
    normalised: NDArray[np.float32] = ((scaled - MEAN) / DEVIATION).astype(np.float32)
    return normalised.transpose(2, 0, 1)[None]


def reference_matte(saliency: NDArray[np.float32]) -> Matte:
    """Stretch the map from its minimum to its maximum: f32 1×1×H×W → u8 H×W."""
    fused = saliency[0, 0]
    low, high = fused.min(), fused.max()
    matte: Matte = np.rint((fused - low) / max(high - low, 1e-6) * 255).astype(np.uint8)
    return matte


def load_published(weights: Path) -> MatteFunction:
    """Load U²-Net or U²-Net-P as published, with pre- and post-processing in NumPy."""
    session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
    name, output = session.get_inputs()[0].name, session.get_outputs()[0].name
    return lambda image: reference_matte(session.run([output], {name: reference_input(image)})[0])


def load_served(model: Model, weights: Path) -> MatteFunction:
    """Load the joined graph that Triton serves."""
    graph = join(model, weights).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return lambda image: np.asarray(session.run(["matte"], {"image": image[None]})[0][0])


def compare(reference: MatteFunction, candidate: MatteFunction, images: Iterable[Pixels]) -> Parity:
    pairs = [(reference(image), candidate(image)) for image in images]
    differences = [np.abs(a.astype(np.int16) - b) for a, b in pairs]
    overlaps = [iou(a, b) for a, b in pairs]
    return Parity(
        photos=len(pairs),
        max_difference=max(int(difference.max()) for difference in differences),
        mean_difference=float(np.mean([difference.mean() for difference in differences])),
        mean_iou=float(np.mean(overlaps)),
        min_iou=min(overlaps),
    )


def load_photos(folder: Path, model: Model) -> Iterator[Pixels]:
    """Yield the photos of a folder at the network's input size."""
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES):
        yield load_photo(path, model.height, model.width)


def load_photo(path: Path, height: int, width: int) -> Pixels:
    """Load a photo as u8 H×W×3 RGB, resized as the worker does it."""
    with Image.open(path) as photo:
        return CpuOps().resize_area(np.asarray(photo.convert("RGB")), width, height)

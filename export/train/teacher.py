"""`python -m export.train.teacher NETWORK FOLDER ...`: make mattes with a larger network for photos without masks.

NETWORK is ISNet as an ONNX file: f32 N×3×H×W RGB, (x - 128) / 256, to f32 N×1×H×W in 0..1 as its first output. Each
photo of FOLDER/images gets FOLDER/teacher/<stem>.webp at the photo's size. Existing mattes are kept, so an interrupted
run can be resumed.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from cutstream.errors import CutstreamError
from export.train.photos import IMAGES, TrainingData, open_image

QUALITY = 90


def teach(network: Path, folders: list[Path]) -> int:
    """Make the missing mattes and return their number. Raise TrainingData for an unusable folder, photo or network."""
    todo = [photo for folder in folders for photo in _without_matte(folder)]
    queue, (height, width) = _load_engine(network)
    queue.set_callback(lambda request, photo: _save(request.get_output_tensor(0).data[0, 0], photo))
    for photo in track(todo, "teacher"):
        queue.start_async({0: _input(photo, width, height)}, photo)
    queue.wait_all()
    return len(todo)


def _without_matte(folder: Path) -> Iterator[Path]:
    images = folder / "images"
    if not images.is_dir():
        raise TrainingData(f"{folder}: has no folder `images`")
    for photo in sorted(images.iterdir()):
        if photo.suffix.lower() in IMAGES and not _teacher_path(photo).is_file():
            yield photo


def _load_engine(network: Path) -> tuple[openvino.AsyncInferQueue, tuple[int, int]]:
    """Load the network with one stream per core. Return the queue and the input's height and width."""
    try:
        model = openvino.Core().read_model(network)
        height, width = (int(str(side)) for side in list(model.inputs[0].partial_shape)[2:])
        model.reshape([1, 3, height, width])
    except (RuntimeError, ValueError) as exc:
        raise TrainingData(f"{network}: cannot be read as a network with an input N×3×H×W ({exc})") from exc
    cores = len(os.sched_getaffinity(0))
    options = {"NUM_STREAMS": cores, "INFERENCE_NUM_THREADS": cores}
    queue = openvino.AsyncInferQueue(openvino.Core().compile_model(model, "CPU", options), cores)
    return queue, (height, width)


def _input(photo: Path, width: int, height: int) -> NDArray[np.float32]:
    with open_image(photo) as image:
        pixels = np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR), np.float32)
    scaled: NDArray[np.float32] = ((pixels - 128) / 256).astype(np.float32)
    return scaled.transpose(2, 0, 1)[None]


def _save(alpha: NDArray[np.float32], photo: Path) -> None:
    """Write the matte atomically, so that every existing file is complete."""
    with Image.open(photo) as image:
        size = image.size
    matte = Image.fromarray(np.rint(alpha.clip(0, 1) * 255).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    matte.save(buffer, "WEBP", quality=QUALITY)
    path = _teacher_path(photo)
    path.parent.mkdir(exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(buffer.getvalue())
    part.replace(path)


def _teacher_path(photo: Path) -> Path:
    return photo.parent.parent / "teacher" / f"{photo.stem}.webp"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m export.train.teacher", description=__doc__.splitlines()[0])
    parser.add_argument("network", type=Path)
    parser.add_argument("folders", type=Path, nargs="+", metavar="folder")
    arguments = parser.parse_args()
    print(f"{teach(arguments.network, arguments.folders)} mattes written")  # noqa: T201


if __name__ == "__main__":
    try:
        main()
    except CutstreamError as error:
        sys.exit(f"{error}")

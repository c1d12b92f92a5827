"""`python -m export.train.teacher NET FOLDER ...`: a larger net's mattes for photos that have no masks.

NET is ISNet as ONNX, f32 N×3×H×W RGB, (x - 128) / 256, to f32 N×1×H×W in 0..1 as its first output. Each photo of
FOLDER/images gets FOLDER/teacher/<stem>.webp at the photo's size. What is there already is left, so an interrupted run
goes on where it was.
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
from export.train.photos import IMAGES, TrainingData, opened

QUALITY = 90


def teach(net: Path, folders: list[Path]) -> int:
    """How many mattes were made. Raises TrainingData that names a folder, photo or net that cannot be used."""
    todo = [photo for folder in folders for photo in _without_matte(folder)]
    queue, (height, width) = _engine(net)
    queue.set_callback(lambda request, photo: _keep(request.get_output_tensor(0).data[0, 0], photo))
    for photo in track(todo, "teacher"):
        queue.start_async({0: _input(photo, width, height)}, photo)
    queue.wait_all()
    return len(todo)


def _without_matte(folder: Path) -> Iterator[Path]:
    images = folder / "images"
    if not images.is_dir():
        raise TrainingData(f"{folder}: has no folder `images`")
    for photo in sorted(images.iterdir()):
        if photo.suffix.lower() in IMAGES and not _place(photo).is_file():
            yield photo


def _engine(net: Path) -> tuple[openvino.AsyncInferQueue, tuple[int, int]]:
    """As many photos at once as there are cores, one on each."""
    try:
        model = openvino.Core().read_model(net)
        height, width = (int(str(side)) for side in list(model.inputs[0].partial_shape)[2:])
        model.reshape([1, 3, height, width])
    except (RuntimeError, ValueError) as exc:
        raise TrainingData(f"{net}: cannot be read as a net from N×3×H×W ({exc})") from exc
    cores = len(os.sched_getaffinity(0))
    options = {"NUM_STREAMS": cores, "INFERENCE_NUM_THREADS": cores}
    queue = openvino.AsyncInferQueue(openvino.Core().compile_model(model, "CPU", options), cores)
    return queue, (height, width)


def _input(photo: Path, width: int, height: int) -> NDArray[np.float32]:
    with opened(photo) as picture:
        pixels = np.asarray(picture.convert("RGB").resize((width, height), Image.Resampling.BILINEAR), np.float32)
    scaled: NDArray[np.float32] = ((pixels - 128) / 256).astype(np.float32)
    return scaled.transpose(2, 0, 1)[None]


def _keep(alpha: NDArray[np.float32], photo: Path) -> None:
    """In one piece: a file that is there is whole."""
    with Image.open(photo) as picture:
        size = picture.size
    matte = Image.fromarray(np.rint(alpha.clip(0, 1) * 255).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    matte.save(buffer, "WEBP", quality=QUALITY)
    place = _place(photo)
    place.parent.mkdir(exist_ok=True)
    part = place.with_suffix(".part")
    part.write_bytes(buffer.getvalue())
    part.replace(place)


def _place(photo: Path) -> Path:
    return photo.parent.parent / "teacher" / f"{photo.stem}.webp"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m export.train.teacher", description=__doc__.splitlines()[0])
    parser.add_argument("net", type=Path)
    parser.add_argument("folders", type=Path, nargs="+", metavar="folder")
    arguments = parser.parse_args()
    print(f"{teach(arguments.net, arguments.folders)} mattes made")  # noqa: T201


if __name__ == "__main__":
    try:
        main()
    except CutstreamError as error:
        sys.exit(f"{error}")

"""`python -m export.train PHOTOS OUT`: train cutnet by a recipe, or resume an interrupted training."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

import torch

from cutstream.errors import CutstreamError
from export.train.cutnet import Cutnet
from export.train.cutnet_onnx import from_onnx, to_onnx
from export.train.imagenet import load_imagenet_weights
from export.train.photos import collect
from export.train.recipe import SHIPPED, read_recipe
from export.train.training import begin, train


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m export.train", description=__doc__)
    parser.add_argument("photos", type=Path, help="folder with the source folders of the recipe")
    parser.add_argument(
        "out", type=Path, help="folder for the checkpoint, the log, the curves and, at the end, model.onnx"
    )
    parser.add_argument("--recipe", type=Path, default=SHIPPED)
    parser.add_argument(
        "--from", dest="weights", type=Path, help="model.onnx to start from, instead of ImageNet's weights"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=2, help="number of processes that prepare samples")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped; run the same command again to resume"))
    recipe = read_recipe(arguments.recipe)
    torch.manual_seed(recipe.seed)
    state = begin(_initial_network(arguments.weights), recipe, arguments.device)
    checkpoint = arguments.out / "checkpoint.pt"
    if checkpoint.is_file():
        state.resume(checkpoint, recipe)
    train(state, recipe, collect(arguments.photos, recipe.sources), arguments.out, arguments.workers)
    (arguments.out / "model.onnx").write_bytes(to_onnx(state.trained))


def _initial_network(weights: Path | None) -> Cutnet:
    if weights is not None:
        return from_onnx(weights)
    network = Cutnet()
    network.encoder.load_imagenet(load_imagenet_weights())
    return network


if __name__ == "__main__":
    try:
        main()
    except CutstreamError as error:
        sys.exit(f"{error}")

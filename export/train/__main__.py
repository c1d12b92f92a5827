"""`python -m export.train PHOTOS OUT`: trains cutnet by a recipe, or goes on where it was interrupted."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

import torch

from cutstream.errors import CutstreamError
from export.train import recipe as recipes
from export.train.cutnet import Cutnet
from export.train.cutnet_graph import graph, load
from export.train.encoder import imagenet
from export.train.photos import collect
from export.train.training import begin, train


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m export.train", description=__doc__)
    parser.add_argument("photos", type=Path, help="folder that holds the recipe's source folders")
    parser.add_argument("out", type=Path, help="folder for checkpoint, log, curves and, at the end, model.onnx")
    parser.add_argument("--recipe", type=Path, default=recipes.SHIPPED)
    parser.add_argument(
        "--from", dest="weights", type=Path, help="a model.onnx to go on from, instead of ImageNet's weights"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=2, help="processes that prepare samples")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped; the same command goes on from here"))
    recipe = recipes.read(arguments.recipe)
    torch.manual_seed(recipe.seed)
    state = begin(_net(arguments.weights), recipe, arguments.device)
    checkpoint = arguments.out / "checkpoint.pt"
    if checkpoint.is_file():
        state.resume(checkpoint, recipe)
    train(state, recipe, collect(arguments.photos, recipe.sources), arguments.out, arguments.workers)
    (arguments.out / "model.onnx").write_bytes(graph(state.trained))


def _net(weights: Path | None) -> Cutnet:
    if weights is not None:
        return load(weights)
    net = Cutnet()
    net.encoder.load_imagenet(imagenet())
    return net


if __name__ == "__main__":
    try:
        main()
    except CutstreamError as error:
        sys.exit(f"{error}")

"""`python -m export.train.average OUT.onnx A.onnx B.onnx=3`: one net of several trainings' ends, tensor by tensor.

For nets that began with the same weights (M. Wortsman et al., "Model soups", ICML 2022); those that did not, average to
nothing of use. A number behind a file is its weight against the others', 1 where there is none.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cutstream.errors import ConfigurationError, CutstreamError
from export.train.cutnet import Cutnet
from export.train.cutnet_graph import graph, load


def average(files: Sequence[Path], weights: Sequence[float]) -> Cutnet:
    """Raises ModelMismatch for a file that is not cutnet's."""
    nets = [load(file) for file in files]
    states = [net.state_dict() for net in nets]
    shares = [weight / sum(weights) for weight in weights]
    mean = {
        name: sum(share * state[name] for share, state in zip(shares, states, strict=True))
        if tensor.is_floating_point()
        else tensor
        for name, tensor in states[0].items()
    }
    nets[0].load_state_dict(mean)
    return nets[0]


def _weighted(text: str) -> tuple[Path, float]:
    file, _, weight = text.partition("=")
    try:
        number = float(weight or 1)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ConfigurationError(f"{text}: a weight is a number above 0, as in {file}=3")
    return Path(file), number


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m export.train.average", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("nets", nargs="+", help="model.onnx, or model.onnx=WEIGHT")
    arguments = parser.parse_args()
    files, weights = zip(*map(_weighted, arguments.nets), strict=True)
    arguments.out.write_bytes(graph(average(files, weights)))


if __name__ == "__main__":
    try:
        main()
    except CutstreamError as error:
        sys.exit(f"{error}")

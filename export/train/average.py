"""`python -m export.train.average OUT.onnx A.onnx B.onnx=3`: average the weights of several trained networks.

The trainings must have started from the same weights (M. Wortsman et al., "Model soups", ICML 2022); otherwise the
average is useless. A number after a file is its weight relative to the others, 1 by default.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cutstream.errors import ConfigurationError, CutstreamError
from export.train.cutnet import Cutnet
from export.train.cutnet_onnx import from_onnx, to_onnx


def average(files: Sequence[Path], weights: Sequence[float]) -> Cutnet:
    """Return the weighted mean of the networks. Raise ModelMismatch for a file that is not cutnet."""
    networks = [from_onnx(file) for file in files]
    states = [network.state_dict() for network in networks]
    shares = [weight / sum(weights) for weight in weights]
    mean = {
        name: sum(share * state[name] for share, state in zip(shares, states, strict=True))
        if tensor.is_floating_point()
        else tensor
        for name, tensor in states[0].items()
    }
    networks[0].load_state_dict(mean)
    return networks[0]


def _parse_file(text: str) -> tuple[Path, float]:
    file, _, weight = text.partition("=")
    try:
        number = float(weight or 1)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ConfigurationError(f"{text}: a weight must be a number above 0, as in {file}=3")
    return Path(file), number


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m export.train.average", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("networks", nargs="+", help="model.onnx, or model.onnx=WEIGHT")
    arguments = parser.parse_args()
    files, weights = zip(*map(_parse_file, arguments.networks), strict=True)
    arguments.out.write_bytes(to_onnx(average(files, weights)))


if __name__ == "__main__":
    try:
        main()
    except CutstreamError as error:
        sys.exit(f"{error}")

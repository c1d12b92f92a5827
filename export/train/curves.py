"""Draw the log of a training: the loss above, the held-out IoU of each source below."""

from __future__ import annotations

import json
from pathlib import Path

from matplotlib.figure import Figure


def draw(log: Path, image: Path) -> None:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    figure = Figure(figsize=(9, 8), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    losses = [line for line in lines if "loss" in line]
    above.plot([line["samples"] for line in losses], [line["loss"] for line in losses], color="black")
    above.set_ylabel("loss")
    held_out = [line for line in lines if "held_out_iou" in line]
    for name in held_out[-1]["held_out_iou"] if held_out else ():
        below.plot(
            [line["samples"] for line in held_out], [line["held_out_iou"][name] for line in held_out], label=name
        )
    if held_out:
        below.legend(loc="lower right")
    below.set_ylabel("IoU of held-out photos")
    below.set_xlabel("samples")
    part = image.with_suffix(".part.png")
    figure.savefig(part)
    part.replace(image)

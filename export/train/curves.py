"""A training's log as a picture: loss above, held-out IoU of each source below."""

from __future__ import annotations

import json
from pathlib import Path

from matplotlib.figure import Figure


def draw(log: Path, picture: Path) -> None:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    figure = Figure(figsize=(9, 8), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    learnt = [line for line in lines if "loss" in line]
    above.plot([line["samples"] for line in learnt], [line["loss"] for line in learnt], color="black")
    above.set_ylabel("loss")
    held = [line for line in lines if "held_out_iou" in line]
    for name in held[-1]["held_out_iou"] if held else ():
        below.plot([line["samples"] for line in held], [line["held_out_iou"][name] for line in held], label=name)
    if held:
        below.legend(loc="lower right")
    below.set_ylabel("IoU of held-out photos")
    below.set_xlabel("samples")
    part = picture.with_suffix(".part.png")
    figure.savefig(part)
    part.replace(picture)

"""The training loop, which keeps a moving average of the weights. It runs on a CPU and on a CUDA device."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from cutstream.errors import ConfigurationError
from cutstream.quality.overlap import iou
from export.train.augment import resize_whole
from export.train.batches import batches
from export.train.curves import draw
from export.train.cutnet import Cutnet, normalise
from export.train.losses import loss
from export.train.photos import Collection
from export.train.recipe import TrainingRecipe

Tensors: TypeAlias = tuple[Tensor, ...] | list[Tensor]

LOG_EVERY, SAVE_EVERY = 1_600, 8_000


@dataclass
class State:
    """Everything that a resumed training needs. `samples` counts the samples so far."""

    network: Cutnet
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    samples: int = 0

    @property
    def trained(self) -> Cutnet:
        """The network with averaged weights, on the CPU. It is the result of the training."""
        network = self.average.module
        assert isinstance(network, Cutnet)
        return network.cpu()

    def save(self, file: Path, recipe: TrainingRecipe) -> None:
        """Write a checkpoint atomically."""
        part = file.with_suffix(".part")
        torch.save(
            {
                "recipe": _fingerprint(recipe),
                "samples": self.samples,
                "net": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            },
            part,
        )
        part.replace(file)

    def resume(self, file: Path, recipe: TrainingRecipe) -> None:
        """Load a checkpoint. Raise ConfigurationError if it belongs to another recipe."""
        saved = torch.load(file, weights_only=True)
        if saved["recipe"] != _fingerprint(recipe):
            raise ConfigurationError(
                f"{file}: belongs to another recipe; choose another output folder, or remove the file"
            )
        self.network.load_state_dict(saved["net"])
        self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.samples = saved["samples"]


def begin(network: Cutnet, recipe: TrainingRecipe, device: str) -> State:
    network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = AveragedModel(network, multi_avg_fn=_averaging(recipe.average), use_buffers=True)
    return State(
        network, average, torch.optim.AdamW(_parameter_groups(network, recipe), weight_decay=recipe.weight_decay)
    )


def _averaging(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """Return the update of a moving average whose decay grows to `decay`, so that it forgets its beginning quickly.

    After n steps the decay is (1 + n) / (10 + n).
    """

    @torch.no_grad()
    def update(average: Tensors, current: Tensors, steps: Tensor | int) -> None:
        weight = 1 - min(decay, (1 + int(steps)) / (10 + int(steps)))
        for mean, value in zip(average, current, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, weight)
            else:  # a counter of batches has no average
                mean.copy_(value)

    return update


def train(state: State, recipe: TrainingRecipe, collections: Sequence[Collection], out: Path, workers: int) -> None:
    """Train from `state.samples` to the end of the recipe.

    Writes a checkpoint, `log.jsonl` and `curves.png` to `out`. An interrupted training resumes from the checkpoint.
    """
    out.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        bar = progress.add_task("training", total=recipe.samples, completed=state.samples)
        losses: list[float] = []
        since = time.monotonic()
        try:
            for size, image, matte in _remaining_batches(state, recipe, collections, workers):
                losses.append(_learn(state, recipe, image, matte))
                before, state.samples = state.samples, state.samples + len(image)
                progress.update(bar, completed=state.samples, description=f"{size} px, loss {losses[-1]:.3f}")
                if _passed(before, state.samples, LOG_EVERY):
                    entry: dict[str, Any] = {
                        "samples": state.samples,
                        "size": size,
                        "loss": round(float(np.mean(losses)), 4),
                    }
                    entry["images_per_second"] = round(len(losses) * len(image) / (time.monotonic() - since), 1)
                    if _passed(before, state.samples, SAVE_EVERY):
                        entry["held_out_iou"] = held_out_iou(state.average, collections, size)
                        state.save(out / "checkpoint.pt", recipe)
                    _log(out, entry)
                    losses, since = [], time.monotonic()
        finally:
            state.save(out / "checkpoint.pt", recipe)
    last = recipe.phases[-1].size
    _log(out, {"samples": state.samples, "held_out_iou": held_out_iou(state.average, collections, last)})


@torch.no_grad()
def held_out_iou(network: nn.Module, collections: Sequence[Collection], size: int) -> dict[str, float]:
    """Return the mean IoU over the held-out photos of each source, whole and without augmentation, at `size`."""
    network.eval()
    device = next(network.parameters()).device
    means = {}
    for collection in collections:
        scores = []
        for photo in collection.held_out:
            pixels, matte = resize_whole(photo, size)
            logits = network(normalise(torch.from_numpy(pixels)[None].to(device)))[0, 0].cpu().numpy()
            scores.append(iou(np.where(logits > 0, 255, 0).astype(np.uint8), matte))
        means[collection.source.name] = round(float(np.mean(scores)), 4)
    return means


def _remaining_batches(
    state: State, recipe: TrainingRecipe, collections: Sequence[Collection], workers: int
) -> Iterator[tuple[int, Tensor, Tensor]]:
    end = 0
    for phase in recipe.phases:
        end += phase.samples
        remaining = (end - state.samples) // phase.batch * phase.batch
        if remaining > 0:
            for image, matte in batches(collections, recipe, phase, state.samples, remaining, workers):
                yield phase.size, image, matte


def _learn(state: State, recipe: TrainingRecipe, image: Tensor, matte: Tensor) -> float:
    device = next(state.network.parameters()).device
    state.network.train()
    _set_rates(state.optimizer, recipe, state.samples)
    pixels = normalise(image.to(device)).contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, torch.bfloat16):
        levels = state.network(pixels)
    error = loss(levels, matte.to(device)[:, None].float() / 255)
    state.optimizer.zero_grad(set_to_none=True)
    error.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(state.network.parameters(), 5.0)
    state.optimizer.step()
    state.average.update_parameters(state.network)
    return error.item()


def _parameter_groups(network: Cutnet, recipe: TrainingRecipe) -> list[dict[str, Any]]:
    """Group the parameters: the encoder has its own rate, and norms and biases have no weight decay."""
    groups = []
    for rate, of_encoder in ((recipe.encoder_rate, True), (recipe.learning_rate, False)):
        named = [p for name, p in network.named_parameters() if name.startswith("encoder.") == of_encoder]
        groups.append({"params": [p for p in named if p.ndim > 1], "rate": rate})
        groups.append({"params": [p for p in named if p.ndim <= 1], "rate": rate, "weight_decay": 0.0})
    return groups


def _set_rates(optimizer: torch.optim.Optimizer, recipe: TrainingRecipe, samples: int) -> None:
    rise = min(1.0, (samples + 1) / recipe.warm_up)
    fall = 0.5 * (1 + math.cos(math.pi * samples / recipe.samples))
    for group in optimizer.param_groups:
        group["lr"] = group["rate"] * rise * fall


def _passed(before: int, now: int, every: int) -> bool:
    return before // every < now // every


def _fingerprint(recipe: TrainingRecipe) -> str:
    return hashlib.sha256(msgspec.json.encode(recipe)).hexdigest()


def _log(out: Path, entry: dict[str, Any]) -> None:
    with (out / "log.jsonl").open("a") as file:
        file.write(json.dumps(entry) + "\n")
    draw(out / "log.jsonl", out / "curves.png")

"""Torch families: networks that are exported from torch, one module per family.

A *family* is one architecture in several variants. Its module has a function `build(variant, checkpoint)`, which
returns the network with its weights. The network takes f32 N×C×H×W as the catalogue's `normalise` makes it, then the
inputs that the entry `takes`, and returns the map or maps for `activate`. Each family has a variant `tiny` for tests,
of the same class, with random weights. This package holds what the families share.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cutstream.errors import ModelMismatch

PARALLEL_PREFIX = "module."  # of names saved by torch's DataParallel


def build(family: str, checkpoint: Path | None) -> nn.Module:
    """Build a network; `family` is `module:variant`. Without a checkpoint the weights are random, but always the same.

    Raises ModelMismatch for an unknown variant and for a checkpoint that does not fit.
    """
    name, _, variant = family.partition(":")
    torch.manual_seed(0)
    network: nn.Module = import_module(f"{__name__}.{name}").build(variant, checkpoint)
    return network.eval()


def variant_of(variants: Mapping[str, Any], name: str) -> Any:
    if name not in variants:
        raise ModelMismatch(f"there is no variant {name!r}; choose from {', '.join(variants)}")
    return variants[name]


def load_checkpoint(network: nn.Module, checkpoint: Path | None, optional: tuple[str, ...] = ()) -> nn.Module:
    """Load every tensor of a checkpoint, `.safetensors` or a state dict saved by torch, and return the network.

    The prefix that training on several GPUs adds to each name is removed. Tensors whose names begin with one of
    `optional` may be missing on either side. Raises ModelMismatch, with the tensor's name, for any other that is.
    """
    if checkpoint is None:
        return network
    try:
        wrong = network.load_state_dict(_tensors(checkpoint), strict=False)
    except Exception as exc:  # any error of the readers is about this file
        raise ModelMismatch(f"{checkpoint} does not fit {type(network).__name__}: {exc}") from exc
    missing, unexpected = (
        [name for name in names if not name.startswith(optional)]
        for names in (wrong.missing_keys, wrong.unexpected_keys)
    )
    problems = [f"lacks {missing[0]}"] if missing else []
    problems += [f"has {unexpected[0]}, which the network lacks"] if unexpected else []
    if problems:
        raise ModelMismatch(f"{checkpoint} {' and '.join(problems)}: it belongs to another variant or network")
    return network


def _tensors(checkpoint: Path) -> Mapping[str, Any]:
    if checkpoint.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(checkpoint)
    tensors: Mapping[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    if all(name.startswith(PARALLEL_PREFIX) for name in tensors):
        return {name.removeprefix(PARALLEL_PREFIX): value for name, value in tensors.items()}
    return tensors

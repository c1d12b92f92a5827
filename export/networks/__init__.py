"""Nets that are exported from torch, one module each: `build(variant, checkpoint)` gives the net behind its weights.

What they share is here. Every module takes f32 N×C×H×W as the catalogue's `normalise` makes it, and what the entry
`takes` besides, and gives the one map that `activate` takes. Variant `tiny` of each is for tests: of the same class,
with random weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cutstream.errors import ModelMismatch

PARALLEL = "module."  # of torch's DataParallel


def build(family: str, checkpoint: Path | None) -> nn.Module:
    """`family` is `module:variant`. Without a checkpoint the weights are random, the same ones each time.

    Raises ModelMismatch for a variant that is not there and a checkpoint that does not fit.
    """
    name, _, variant = family.partition(":")
    torch.manual_seed(0)
    net: nn.Module = import_module(f"export.networks.{name}").build(variant, checkpoint)
    return net.eval()


def variant_of(variants: Mapping[str, Any], name: str) -> Any:
    if name not in variants:
        raise ModelMismatch(f"no variant {name!r}; there are {', '.join(variants)}")
    return variants[name]


def load(net: nn.Module, checkpoint: Path | None, needless: tuple[str, ...] = ()) -> nn.Module:
    """Every tensor from the file (`.safetensors`, or what torch.save wrote of a state dict), none left over.

    The prefix that a training on several GPUs puts before each name is taken off. Tensors whose names begin with one of
    `needless` may be in the file, or not, as well as in the net. Raises ModelMismatch that names the
    tensors.
    """
    if checkpoint is None:
        return net
    try:
        wrong = net.load_state_dict(_tensors(checkpoint), strict=False)
    except Exception as exc:  # whatever a reader throws is about this file
        raise ModelMismatch(f"{checkpoint} does not fit {type(net).__name__}: {exc}") from exc
    missing, unexpected = (
        [name for name in names if not name.startswith(needless)]
        for names in (wrong.missing_keys, wrong.unexpected_keys)
    )
    problems = [f"lacks {missing[0]}"] if missing else []
    problems += [f"has {unexpected[0]}, which the net does not"] if unexpected else []
    if problems:
        raise ModelMismatch(f"{checkpoint} {' and '.join(problems)}: it is of another variant or net")
    return net


def _tensors(checkpoint: Path) -> Mapping[str, Any]:
    if checkpoint.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(checkpoint)
    tensors: Mapping[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    if all(name.startswith(PARALLEL) for name in tensors):
        return {name.removeprefix(PARALLEL): value for name, value in tensors.items()}
    return tensors

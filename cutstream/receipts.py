"""Receipts: what each step of an ensemble read and wrote, so that a matte can be traced to its photo (ADR 12).

Every graph has an output `receipt` i32 [N, 64 · tensors + 4]: the sums of each of its inputs by name, the sums of each
of its outputs by name, and the first digits of the graph's digest. The sums of a tensor u8 [N, H, W] or [N, H, W, 3]
are those of its values in the cells of an 8×8 grid. They are below 2²⁴, so every engine computes them exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cutstream.errors import ModelReloaded, WrongAnswer

RECEIPT = "receipt"
GRID = 8
SUMS = GRID * GRID
DIGEST_NUMBERS = 4
DIGITS = 6  # hexadecimal digits of a digest in one number

Sums: TypeAlias = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Step:
    """A step of an ensemble: the output with its receipt, the tensors on it in order, and the digest of its graph."""

    model: str
    receipt: str
    tensors: tuple[str, ...]
    digest: str

    @property
    def length(self) -> int:
        return receipt_length(len(self.tensors))


def receipt_length(tensors: int) -> int:
    return SUMS * tensors + DIGEST_NUMBERS


def digest_numbers(digest: str) -> tuple[int, ...]:
    """Return the first 24 hexadecimal digits of a digest as four numbers below 2²⁴."""
    return tuple(int(digest[DIGITS * n : DIGITS * (n + 1)], 16) for n in range(DIGEST_NUMBERS))


def sums(tensor: NDArray[np.uint8]) -> Sums:
    """Return the sums i32 [N, 64] of a tensor u8 [N, H, W] or [N, H, W, 3]. H and W are multiples of 8."""
    count, height = tensor.shape[:2]
    cells = tensor.reshape(count, GRID, height // GRID, GRID, -1)
    total: Sums = cells.sum(axis=(2, 4), dtype=np.int32)
    return total.reshape(count, SUMS)


def check_receipts(steps: Sequence[Step], receipts: Mapping[str, Sums], known: Mapping[str, Sums]) -> None:
    """Check that the steps read and wrote the same tensors as each other and as the client, image by image.

    `known` are the sums of what the client sent and received. Raises ModelReloaded if other graphs answered than the
    ensemble's description says, and WrongAnswer if a step worked on something else.
    """
    seen = dict(known)
    for step in steps:
        receipt = receipts[step.receipt]
        if (receipt[:, -DIGEST_NUMBERS:] != digest_numbers(step.digest)).any():
            raise ModelReloaded(f"step {step.model} answered with another graph than {step.digest[:12]}")
        for index, tensor in enumerate(step.tensors):
            stated = receipt[:, SUMS * index : SUMS * (index + 1)]
            expected = seen.setdefault(tensor, stated)
            wrong = np.flatnonzero((stated != expected).any(axis=1))
            if wrong.size:
                raise WrongAnswer(
                    f"step {step.model} worked on another `{tensor}` for images {wrong.tolist()} of {len(stated)}"
                )

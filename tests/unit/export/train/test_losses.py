from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra `export`)")

from export.train.losses import loss  # noqa: E402


def square(size: int = 64) -> torch.Tensor:
    matte = torch.zeros(2, 1, size, size)
    matte[:, :, size // 4 : size * 3 // 4, size // 4 : size * 3 // 4] = 1
    return matte


def logits(alpha: torch.Tensor) -> torch.Tensor:
    return (alpha * 2 - 1) * 12


def levels(alpha: torch.Tensor) -> list[torch.Tensor]:
    return [logits(alpha), *(logits(alpha[:, :, ::step, ::step]) for step in (4, 8))]


def test_the_right_answer_costs_next_to_nothing() -> None:
    assert loss(levels(square()), square()).item() < 0.02


def test_the_more_is_wrong_the_more_it_costs() -> None:
    matte = square()
    shifted = [loss(levels(matte.roll(step, 3)), matte).item() for step in (0, 2, 4, 8, 16)]
    assert shifted == sorted(shifted)
    assert loss(levels(1 - matte), matte).item() > shifted[-1]


def test_an_error_at_the_boundary_costs_more_than_one_far_from_it() -> None:
    matte = square()
    near, far = matte.clone(), matte.clone()
    near[:, :, 16:20, 12:16] = 1
    far[:, :, 0:4, 0:4] = 1
    assert loss([logits(near)], matte) > loss([logits(far)], matte)


def test_it_has_a_gradient_everywhere_it_is_asked() -> None:
    answers = [level.requires_grad_() for level in levels(torch.full((2, 1, 64, 64), 0.5))]
    loss(answers, square()).backward()
    assert all(level.grad is not None and level.grad.abs().sum() > 0 for level in answers)

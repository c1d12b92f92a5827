"""Matting without a net: alpha as the solution of a linear system, which needs no weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch._higher_order_ops.while_loop import while_loop
from torch.nn.functional import avg_pool2d, interpolate, pad

EPSILON = 1e-4  # of the colours' covariance in a window, colours in 0..1; below it float32 is not exact enough
TINY = 1e-20
# Coarse to fine: each size's solution is where the next one starts.
STEPS = ((64, 30), (128, 30), (256, 30), (512, 30))


class ClosedForm(nn.Module):
    """u8 N×S×S×3 RGB and trimap N×S×S (0, 255 or unknown between) → matte u8 N×S×S.

    Closed-form matting (A. Levin, D. Lischinski, Y. Weiss, PAMI 2008) by conjugate gradients over the unknown pixels
    alone; what is known stays. The product with the matting Laplacian takes box filters instead of a matrix (K. He,
    J. Sun, X. Tang, CVPR 2010), so that the solver is a plain graph of a fixed number of steps.
    """

    def __init__(self, steps: tuple[tuple[int, int], ...] = STEPS, radius: int = 2) -> None:
        super().__init__()
        self._steps, self._radius = steps, radius

    def forward(self, image: Tensor, trimap: Tensor) -> Tensor:
        colours = image.permute(0, 3, 1, 2).float() / 255.0
        given = trimap.unsqueeze(1).float() / 255.0
        alpha: Tensor | None = None
        for side, steps in self._steps:
            small = interpolate(colours, size=(side, side), mode="area") if side < image.shape[1] else colours
            known = interpolate(given, size=(side, side), mode="area") if side < image.shape[1] else given
            start = known if alpha is None else interpolate(alpha, size=(side, side), mode="bilinear")
            alpha = solve(Laplacian(small, self._radius), known, start, steps)
        assert alpha is not None
        return (alpha.clamp(0.0, 1.0) * 255.0).round().squeeze(1).to(torch.uint8)


class Laplacian:
    """The matting Laplacian of pictures N×3×H×W in 0..1, over all windows of 2 · radius + 1 px that lie inside."""

    def __init__(self, colours: Tensor, radius: int, epsilon: float = EPSILON) -> None:
        self._side, self._colours = 2 * radius + 1, colours
        self._mean = self._windows(colours)
        pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
        products = torch.cat([colours[:, i : i + 1] * colours[:, j : j + 1] for i, j in pairs], dim=1)
        means = torch.cat([self._mean[:, i : i + 1] * self._mean[:, j : j + 1] for i, j in pairs], dim=1)
        self._factors = _Factors(self._windows(products) - means, epsilon / self._side**2)
        self._count = self._pixels(torch.ones_like(self._mean[:, :1]))

    def __call__(self, alpha: Tensor) -> Tensor:
        """L · alpha / pixels of a window: what no local linear model of the colours explains of each pixel's alpha."""
        mean = self._windows(alpha)
        covariance = self._windows(self._colours * alpha) - self._mean * mean
        slope = self._factors.solve(covariance)
        intercept = mean - (slope * self._mean).sum(dim=1, keepdim=True)
        explained = (self._pixels(slope) * self._colours).sum(dim=1, keepdim=True) + self._pixels(intercept)
        return self._count * alpha - explained

    def _windows(self, values: Tensor) -> Tensor:
        """Each window's mean."""
        return avg_pool2d(values, self._side, stride=1)

    def _pixels(self, values: Tensor) -> Tensor:
        """For each pixel the sum over the windows that it lies in, as a share of the most there can be."""
        border = self._side - 1
        return avg_pool2d(pad(values, (border, border, border, border)), self._side, stride=1)


def solve(laplacian: Laplacian, given: Tensor, start: Tensor, steps: int) -> Tensor:
    """alpha N×1×H×W: `given` where that is 0 or 1, and in between what makes alphaᵀ · L · alpha least."""
    unknown = ((given > 0.0) & (given < 1.0)).float()
    alpha = torch.where(unknown > 0.0, start, given)
    residual = -laplacian(alpha) * unknown

    def more(step: Tensor, alpha: Tensor, residual: Tensor, direction: Tensor) -> Tensor:
        return step < steps

    def improve(step: Tensor, alpha: Tensor, residual: Tensor, direction: Tensor) -> tuple[Tensor, ...]:
        energy = _dot(residual, residual)
        product = laplacian(direction) * unknown
        length = energy / _dot(direction, product).clamp(min=TINY)
        left = residual - length * product
        turn = _dot(left, left) / energy.clamp(min=TINY)
        return step + 1, alpha + length * direction, left, left + turn * direction

    begun = (torch.zeros((), dtype=torch.int64), alpha, residual, residual.clone())
    _, alpha, _, _ = while_loop(more, improve, begun)  # type: ignore[no-untyped-call]
    return alpha


def _dot(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).sum(dim=(1, 2, 3), keepdim=True)


class _Factors:
    """L · D · Lᵀ of symmetric 3×3 matrices N×6×H×W (11 12 13 22 23 33) with `epsilon` added to their diagonals.

    A pivot is never below `epsilon` but for rounding, which would make the colours of a grey picture's windows, each a
    multiple of the others, worthless.
    """

    def __init__(self, c: Tensor, epsilon: float) -> None:
        a, b, d, e, f, g = torch.split(c, 1, dim=1)
        self._first = a + epsilon
        self._b, self._d = b / self._first, d / self._first
        self._second = (e + epsilon - self._b * b).clamp(min=epsilon)
        self._f = (f - self._b * d) / self._second
        self._third = (g + epsilon - self._d * d - self._f * self._f * self._second).clamp(min=epsilon)

    def solve(self, v: Tensor) -> Tensor:
        """The matrices' inverses times vectors N×3×H×W."""
        x, y, z = torch.split(v, 1, dim=1)
        y = y - self._b * x
        z = (z - self._d * x - self._f * y) / self._third
        y = y / self._second - self._f * z
        return torch.cat([x / self._first - self._b * y - self._d * z, y, z], dim=1)

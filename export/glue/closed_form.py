"""Closed-form matting: alpha is the solution of a linear system, so it needs no network and no weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch._higher_order_ops.while_loop import while_loop
from torch.nn.functional import avg_pool2d, interpolate, pad

EPSILON = 1e-4  # regularises the colours' covariance in a window, colours in 0..1; fp32 needs at least this much
TINY = 1e-20
# Side in px and number of steps, coarse to fine: each solution is the start of the next.
STEPS = ((64, 30), (128, 30), (256, 30), (512, 30))


class ClosedForm(nn.Module):
    """u8 N×S×S×3 RGB and trimap N×S×S (0, 255 or unknown between) → matte u8 N×S×S.

    Closed-form matting (A. Levin, D. Lischinski, Y. Weiss, PAMI 2008) by conjugate gradients over the unknown pixels;
    known pixels keep their alpha. Box filters compute the product with the matting Laplacian without a matrix (K. He,
    J. Sun, X. Tang, CVPR 2010), so the solver is a plain graph with a fixed number of steps.
    """

    def __init__(self, steps: tuple[tuple[int, int], ...] = STEPS, radius: int = 2) -> None:
        super().__init__()
        self._steps, self._radius = steps, radius

    def forward(self, image: Tensor, trimap: Tensor) -> Tensor:
        colours = image.float().permute(0, 3, 1, 2) / 255.0  # TensorRT moves no u8 values
        trimap_alpha = trimap.float().unsqueeze(1) / 255.0
        alpha: Tensor | None = None
        for side, steps in self._steps:
            small = interpolate(colours, size=(side, side), mode="area") if side < image.shape[1] else colours
            known = interpolate(trimap_alpha, size=(side, side), mode="area") if side < image.shape[1] else trimap_alpha
            start = known if alpha is None else interpolate(alpha, size=(side, side), mode="bilinear")
            alpha = solve(Laplacian(small, self._radius), known, start, steps)
        assert alpha is not None
        return (alpha.clamp(0.0, 1.0) * 255.0).round().squeeze(1).to(torch.uint8)


class Laplacian:
    """The matting Laplacian of images N×3×H×W in 0..1, over all windows of 2 · radius + 1 px inside the image."""

    def __init__(self, colours: Tensor, radius: int, epsilon: float = EPSILON) -> None:
        self._side, self._colours = 2 * radius + 1, colours
        self._mean = self._windows(colours)
        pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
        products = torch.cat([colours[:, i : i + 1] * colours[:, j : j + 1] for i, j in pairs], dim=1)
        means = torch.cat([self._mean[:, i : i + 1] * self._mean[:, j : j + 1] for i, j in pairs], dim=1)
        self._factors = _Factors(self._windows(products) - means, epsilon / self._side**2)
        self._count = self._pixels(torch.ones_like(self._mean[:, :1]))

    def __call__(self, alpha: Tensor) -> Tensor:
        """Return L · alpha / pixels of a window: the part of alpha that no local model of the colours explains."""
        mean = self._windows(alpha)
        covariance = self._windows(self._colours * alpha) - self._mean * mean
        slope = self._factors.solve(covariance)
        intercept = mean - (slope * self._mean).sum(dim=1, keepdim=True)
        explained = (self._pixels(slope) * self._colours).sum(dim=1, keepdim=True) + self._pixels(intercept)
        return self._count * alpha - explained

    def _windows(self, values: Tensor) -> Tensor:
        """Return each window's mean."""
        return avg_pool2d(values, self._side, stride=1)

    def _pixels(self, values: Tensor) -> Tensor:
        """Return each pixel's sum over the windows around it, divided by the number of pixels of a window."""
        border = self._side - 1
        return avg_pool2d(pad(values, (border, border, border, border)), self._side, stride=1)


def solve(laplacian: Laplacian, known: Tensor, start: Tensor, steps: int) -> Tensor:
    """Return alpha N×1×H×W: `known` where that is 0 or 1; elsewhere the alpha that minimises alphaᵀ · L · alpha."""
    unknown = ((known > 0.0) & (known < 1.0)).float()
    alpha = torch.where(unknown > 0.0, start, known)
    residual = -laplacian(alpha) * unknown

    def more(step: Tensor, alpha: Tensor, residual: Tensor, direction: Tensor) -> Tensor:
        return step < steps

    def improve(step: Tensor, alpha: Tensor, residual: Tensor, direction: Tensor) -> tuple[Tensor, ...]:
        energy = _dot(residual, residual)
        product = laplacian(direction) * unknown
        length = energy / _dot(direction, product).clamp(min=TINY)
        next_residual = residual - length * product
        beta = _dot(next_residual, next_residual) / energy.clamp(min=TINY)
        return step + 1, alpha + length * direction, next_residual, next_residual + beta * direction

    initial = (torch.zeros((), dtype=torch.int64), alpha, residual, residual.clone())
    _, alpha, _, _ = while_loop(more, improve, initial)  # type: ignore[no-untyped-call]
    return alpha


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=(1, 2, 3), keepdim=True)


class _Factors:
    """The L · D · Lᵀ factors of symmetric 3×3 matrices N×6×H×W (11 12 13 22 23 33) plus `epsilon` on their diagonals.

    Without rounding errors, pivots are at least `epsilon`. They are clamped to it, because rounding would spoil the
    windows of a grey image, whose channels are multiples of each other.
    """

    def __init__(self, c: Tensor, epsilon: float) -> None:
        a, b, d, e, f, g = torch.split(c, 1, dim=1)
        self._first = a + epsilon
        self._b, self._d = b / self._first, d / self._first
        self._second = (e + epsilon - self._b * b).clamp(min=epsilon)
        self._f = (f - self._b * d) / self._second
        self._third = (g + epsilon - self._d * d - self._f * self._f * self._second).clamp(min=epsilon)

    def solve(self, v: Tensor) -> Tensor:
        """Multiply the inverse matrices by vectors N×3×H×W."""
        x, y, z = torch.split(v, 1, dim=1)
        y = y - self._b * x
        z = (z - self._d * x - self._f * y) / self._third
        y = y / self._second - self._f * z
        return torch.cat([x / self._first - self._b * y - self._d * z, y, z], dim=1)

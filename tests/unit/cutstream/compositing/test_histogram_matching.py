from __future__ import annotations

import numpy as np

from cutstream.arrays.cpu import CpuOps
from cutstream.compositing.histogram_matching import matching_table

OPS = CpuOps()


def values(mean: float, deviation: float) -> np.ndarray:
    return np.random.default_rng(2).normal(mean, deviation, (200, 300)).clip(0, 255).astype(np.uint8)


def test_matched_pixels_have_the_references_distribution() -> None:
    pixels, reference = values(90, 30), values(140, 20)
    matched = OPS.lookup(pixels, matching_table(OPS.histogram(pixels), OPS.histogram(reference)))
    shares = [np.cumsum(OPS.histogram(each)) / each.size for each in (matched, reference)]
    assert np.abs(shares[0] - shares[1]).max() < 0.02


def test_a_matching_channel_stays() -> None:
    pixels = values(128, 50)
    counts = OPS.histogram(pixels)
    np.testing.assert_array_equal(OPS.lookup(pixels, matching_table(counts, 3 * counts)), pixels)


def test_order_is_kept() -> None:
    table = matching_table(OPS.histogram(values(60, 40)), OPS.histogram(values(200, 5)))
    assert (np.diff(table.astype(int)) >= 0).all()


def test_empty_counts_change_nothing() -> None:
    none, some = np.zeros(256, np.int64), OPS.histogram(values(100, 9))
    for counts in ((none, some), (some, none)):
        assert matching_table(*counts).tolist() == list(range(256))

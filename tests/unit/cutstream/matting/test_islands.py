"""Islands fade by evidence: sure ones stay, faint and tiny ones go, and nothing in between jumps."""

from __future__ import annotations

import numpy as np
import pytest

from cutstream.arrays.cpu import CpuOps, connected_parts
from cutstream.images import Image, Matte
from cutstream.matting.islands import fade_islands, measure_islands
from cutstream.matting.measure import measure
from cutstream.matting.presets import SOFT
from cutstream.matting.refine import refine
from tests.support.back_ends import SUBJECTS, back_end

OPS = CpuOps()
SIDE = 320
SUBJECT = (60, 60, 160, 260)


def matte_of(*parts: tuple[tuple[int, int, int, int], int]) -> Matte:
    """The subject, and parts of these boxes (left, top, right, bottom) and values."""
    matte = np.zeros((SIDE, SIDE), np.uint8)
    for (left, top, right, bottom), value in ((SUBJECT, 255), *parts):
        matte[top:bottom, left:right] = value
    return matte


def island(value: int, side: int = 60) -> Matte:
    return matte_of(((220, 100, 220 + side, 100 + side), value))


@pytest.mark.parametrize("value", [40, 90, 127, 145])
def test_a_faint_island_is_gone(value: int) -> None:
    np.testing.assert_array_equal(fade_islands(island(value), OPS), matte_of())


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_a_pair_and_a_group_stay_as_they_are(parts: int) -> None:
    matte = matte_of(*(((180 + 25 * n, 100, 200 + 25 * n, 180), 250 - n) for n in range(parts)))
    assert fade_islands(matte, OPS) is matte


def test_a_speck_is_gone_however_sure() -> None:
    assert fade_islands(island(255, side=1), OPS)[100, 220] <= 1


def test_evidence_is_a_ramp() -> None:
    left = [int(fade_islands(island(value), OPS)[130, 250]) for value in range(100, 256)]
    assert left == sorted(left)
    assert max(np.diff(left)) <= 12
    assert (left[0], left[-1]) == (0, 255)
    by_size = [int(fade_islands(island(255, side), OPS)[100, 220]) for side in range(1, 31)]
    assert by_size == sorted(by_size)
    assert by_size[-1] == 255


def test_what_is_joined_to_the_subject_is_no_island() -> None:
    matte = matte_of(((160, 100, 300, 140), 60))
    assert fade_islands(matte, OPS) is matte


def test_the_faint_rim_of_an_island_fades_with_it() -> None:
    matte = matte_of(((218, 98, 262, 142), 20), ((220, 100, 260, 140), 100))
    np.testing.assert_array_equal(fade_islands(matte, OPS), matte_of())


@pytest.mark.parametrize("value", [0, 20, 100, 128])
def test_a_matte_that_is_sure_of_nothing_has_no_islands(value: int) -> None:
    matte = np.zeros((SIDE, SIDE), np.uint8)
    matte[10:50, 10:50] = matte[100:200, 100:200] = value
    assert measure_islands(matte) is None


@pytest.mark.parametrize("device", SUBJECTS)
@pytest.mark.parametrize("size", [(320, 320), (37, 53), (1, 1), (512, 300)])
def test_every_device_fades_alike(device: str, size: tuple[int, int]) -> None:
    ops, random = back_end(device), np.random.default_rng(1)
    matte = OPS.resize_linear(random.integers(0, 256, (9, 9), np.uint8), size[1], size[0])
    faded = ops.to_host(fade_islands(ops.to_device(matte), ops))
    np.testing.assert_array_equal(faded, fade_islands(matte, OPS))
    assert (faded <= matte).all()


def test_a_ghost_does_not_widen_the_box_of_the_default_refinement() -> None:
    photo = Image(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8))
    box = measure(refine(island(100), photo, SOFT, OPS), OPS).box
    assert box is not None
    assert box.right <= SUBJECT[2] + 4


def test_a_true_hole_stays_open() -> None:
    mug = matte_of()
    mug[100:140, 90:120] = 0
    assert fade_islands(mug, OPS) is mug


def test_parts_touch_at_corners() -> None:
    matte = np.array([[9, 0, 9], [0, 9, 0], [0, 0, 0], [8, 0, 9]], np.uint8)
    count, labels = connected_parts(matte, 8)
    assert count == 2
    assert (labels[3, 0], labels[0, 0] == labels[1, 1] == labels[0, 2]) == (0, True)

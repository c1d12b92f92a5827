"""A chain of steps is traced from the image to the matte, image by image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutstream.errors import ModelReloaded, WrongAnswer
from cutstream.receipts import GRID, Step, check_receipts, digest_numbers, sums
from tests.support.receipts import receipt_of

FIRST, SECOND = "11" * 32, "22" * 32
# As in the profile `hair`: the trimap of an image, then the matte of the image and the trimap.
STEPS = (Step("trimap", "trimap_receipt", ("image", "map"), FIRST), Step("net", "r", ("image", "map", "matte"), SECOND))


def pictures(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (3, 16, 24, *shape), np.uint8)


IMAGES, MAPS, MATTES = pictures(0, 3), pictures(1), pictures(2)


def check(first: np.ndarray, second: np.ndarray, mattes: np.ndarray = MATTES) -> None:
    known = {"image": sums(IMAGES), "matte": sums(mattes)}
    check_receipts(STEPS, {"trimap_receipt": first, "r": second}, known)


def test_a_chain_that_fits_is_accepted() -> None:
    check(receipt_of(IMAGES, MAPS, digest=FIRST), receipt_of(IMAGES, MAPS, MATTES, digest=SECOND))


OTHER = [1, 0, 2]  # the first two images change places


@pytest.mark.parametrize(
    ("first", "second", "tensor"),
    [
        ((IMAGES[OTHER], MAPS[OTHER]), (IMAGES, MAPS, MATTES), "image"),
        ((IMAGES, MAPS[OTHER]), (IMAGES, MAPS, MATTES), "map"),
        ((IMAGES, MAPS), (IMAGES, MAPS[OTHER], MATTES), "map"),
        ((IMAGES, MAPS), (IMAGES[OTHER], MAPS, MATTES), "image"),
        ((IMAGES, MAPS), (IMAGES, MAPS, MATTES[OTHER]), "matte"),
    ],
)
def test_a_break_anywhere_in_the_chain_is_a_wrong_answer(first: tuple, second: tuple, tensor: str) -> None:
    with pytest.raises(WrongAnswer, match=rf"another `{tensor}` for images \[0, 1\] of 3"):
        check(receipt_of(*first, digest=FIRST), receipt_of(*second, digest=SECOND))


def test_another_graph_in_one_step_is_a_reloaded_model() -> None:
    first = receipt_of(IMAGES, MAPS, digest=FIRST)
    second = receipt_of(IMAGES, MAPS, MATTES, digest=SECOND)
    second[1:, -1] += 1  # a batch in which two versions answered
    with pytest.raises(ModelReloaded, match="step net answered with another graph than 222222222222"):
        check(first, second)


@given(st.integers(0, 2**32 - 1), st.integers(0, 15), st.integers(0, 23), st.integers(1, 255))
def test_one_changed_pixel_changes_the_sums(seed: int, row: int, column: int, change: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (1, 16, 24, 3), np.uint8)
    changed = image.copy()
    changed[0, row, column, 1] ^= np.uint8(change)
    assert not np.array_equal(sums(image), sums(changed))


@pytest.mark.parametrize("move", [lambda i: i[:, ::-1], lambda i: i[:, :, ::-1], lambda i: np.roll(i, 1, axis=2)])
def test_a_mirrored_or_moved_image_has_other_sums(move) -> None:
    assert not np.array_equal(sums(IMAGES), sums(move(IMAGES)))


def test_the_sums_of_the_largest_image_are_exact_in_fp32() -> None:
    side = 1184
    white = sums(np.full((1, side, side, 3), 255, np.uint8))
    assert (white == (side // GRID) ** 2 * 3 * 255).all()
    assert white.max() < 2**24
    assert max(digest_numbers("f" * 64)) < 2**24

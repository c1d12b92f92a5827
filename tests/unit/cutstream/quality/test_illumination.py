from __future__ import annotations

import numpy as np
import pytest

from cutstream.quality.illumination import illumination_consistency

SIDE = 200
SUBJECT = np.zeros((SIDE, SIDE), np.uint8)
SUBJECT[60:140, 60:140] = 255


def photo(inside: int, outside: int) -> np.ndarray:
    grey = np.where(SUBJECT > 0, inside, outside).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def test_one_light_is_one() -> None:
    assert illumination_consistency(photo(130, 130), SUBJECT) == pytest.approx(1.0)


def test_another_light_shares_nothing_but_the_blurred_edge() -> None:
    assert illumination_consistency(photo(250, 20), SUBJECT) < 0.1


def test_light_is_the_brightest_channel_not_the_colour() -> None:
    picture = photo(180, 180)
    picture[SUBJECT > 0, 1:] = 0  # a red thing
    assert illumination_consistency(picture, SUBJECT) == pytest.approx(1.0)


def test_what_lies_far_away_is_no_surrounding() -> None:
    picture = photo(130, 130)
    picture[:20] = 255
    assert illumination_consistency(picture, SUBJECT) == pytest.approx(1.0, abs=0.01)


def test_half_the_surroundings_are_half_of_the_histogram() -> None:
    picture = photo(130, 130)
    picture[:, :60] = 10  # left of the subject
    share = illumination_consistency(picture, SUBJECT)
    assert 0.6 < share < 0.85


@pytest.mark.parametrize("value", [0, 255])
def test_nothing_to_compare(value: int) -> None:
    assert illumination_consistency(photo(1, 1), np.full((SIDE, SIDE), value, np.uint8)) is None


def test_pictures_of_any_size() -> None:
    for shape in ((1, 3), (700, 3), (513, 900)):
        matte = np.zeros(shape, np.uint8)
        matte[:, :1] = 255
        if shape[0] == 513:
            matte[:, :400] = 255
        found = illumination_consistency(np.full((*shape, 3), 90, np.uint8), matte)
        assert found is None or found == pytest.approx(1.0)

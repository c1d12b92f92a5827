from __future__ import annotations

import pytest

from cutstream.errors import InvalidOption
from cutstream.matting.presets import PRESETS, check_work, parameters
from cutstream.options import RefineParameters


def test_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(InvalidOption, match=r"'smoth'.*soft, base, aggressive, expanded"):
        parameters("smoth")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_obey_the_rules_for_requests_and_binarise(name: str) -> None:
    preset = parameters(name)
    assert parameters(preset) == preset
    assert preset.threshold is not None
    check_work(preset, megapixels=50)


@pytest.mark.parametrize("field", ["kernel", "blur", "dilate_kernel"])
def test_kernels_are_odd(field: str) -> None:
    with pytest.raises(InvalidOption, match=f"`{field}` is 4.*odd"):
        parameters(RefineParameters(**{field: 4}))


def test_dilation_needs_its_kernel() -> None:
    with pytest.raises(InvalidOption, match="dilate_kernel"):
        parameters(RefineParameters(dilate=1))


def test_work_without_bounds_is_refused() -> None:
    with pytest.raises(InvalidOption, match="footprint pixels"):
        check_work(RefineParameters(kernel=99, close=20), megapixels=1)

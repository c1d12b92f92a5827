from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image as Pillow

from cutstream.arrays.cpu import CpuOps
from cutstream.contract.options import RefineParameters
from cutstream.errors import InvalidOption
from cutstream.images import Image, Matte
from cutstream.matting.presets import BINARY, PRESETS, check_work, parameters
from cutstream.matting.refine import prepare, refine
from cutstream.quality.overlap import box_share, coverage
from export.profiles import network_file
from producer.demo import OWN_PHOTOS

OPS = CpuOps()
NORMAL = {"smooth", "enhanced_edge", "base", "alpha_matting"}
REDUCED = {"conservative", "fine"}


@pytest.mark.parametrize(("name", "meant"), [("smoth", "smooth"), ("agressive", "aggressive")])
def test_an_unknown_preset_names_the_nearest_and_the_known_ones(name: str, meant: str) -> None:
    with pytest.raises(InvalidOption, match=rf"'{name}'; did you mean `{meant}`\?; known are soft, base, aggressive"):
        parameters(name)


def test_presets_of_the_deployment_stand_beside_those_of_the_request() -> None:
    presets = {**PRESETS, "ours": RefineParameters(close=4)}
    assert parameters("ours", presets) == RefineParameters(close=4)
    with pytest.raises(InvalidOption, match="did you mean `ours`"):
        parameters("our", presets)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_obey_the_rules_for_requests(name: str) -> None:
    preset = parameters(name)
    assert parameters(preset) == preset
    check_work(preset, megapixels=50)


@pytest.mark.parametrize("field", ["kernel", "blur", "dilate_kernel", "feather"])
def test_kernels_are_odd(field: str) -> None:
    with pytest.raises(InvalidOption, match=f"`{field}` is 4.*odd"):
        parameters(RefineParameters(**{field: 4}))


@pytest.mark.parametrize(
    ("how", "megapixels"),
    [
        (RefineParameters(kernel=99, close=20), 1),
        (RefineParameters(kernel=99, dilate=20), 1),
        (RefineParameters(feather=99), 50),
        (RefineParameters(blur=99), 50),
    ],
)
def test_work_without_bounds_is_refused(how: RefineParameters, megapixels: float) -> None:
    with pytest.raises(InvalidOption, match="footprint pixels"):
        check_work(how, megapixels)


@pytest.fixture(scope="module")
def mattes() -> list[tuple[Image, Matte]]:
    """Real photos, as cutnet sees them."""
    import skimage

    session = onnxruntime.InferenceSession(network_file("cutnet"))
    found = []
    for name in OWN_PHOTOS:
        with Pillow.open(Path(skimage.__file__).parent / "data" / name) as picture:
            photo = Image(np.array(picture.convert("RGB")))
        (matte,) = session.run(None, {"image": prepare(photo, 320, 320, OPS)[None]})
        found.append((photo, matte[0]))
    return found


def test_eight_presets_make_eight_masks_in_the_order_of_their_names(mattes: list[tuple[Image, Matte]]) -> None:
    made = {name: [refine(matte, photo, how, OPS) for photo, matte in mattes] for name, how in BINARY.items()}
    assert len(made) == 8
    for name, masks in made.items():
        assert all(set(np.unique(mask)) == {0, 255} for mask in masks)
        for other in made.keys() - {name}:
            assert all((one != two).any() for one, two in zip(masks, made[other], strict=True)), (name, other)
    share = {name: float(np.mean([coverage(mask) for mask in masks])) for name, masks in made.items()}
    assert share["aggressive"] > 1.04 * share["expanded"] > 1.04 * 1.02 * share["base"]
    assert {name for name in BINARY if abs(share[name] / share["base"] - 1) < 0.006} == NORMAL
    assert {name for name in BINARY if share[name] < 0.993 * share["base"]} == REDUCED
    box = {name: float(np.mean([box_share(mask) for mask in masks])) for name, masks in made.items()}
    assert box["conservative"] < min(box[name] for name in BINARY if name != "conservative")


def test_smooth_is_smooth_and_enhanced_edge_follows_the_photo(mattes: list[tuple[Image, Matte]]) -> None:
    def contour(name: str) -> int:
        masks = [refine(matte, photo, PRESETS[name], OPS) for photo, matte in mattes]
        return sum(np.count_nonzero(np.diff(mask, axis=axis)) for mask in masks for axis in (0, 1))

    assert contour("smooth") < contour("base") < contour("enhanced_edge")

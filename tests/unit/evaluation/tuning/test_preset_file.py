"""The worker reads the preset that tuning writes, and a request can name it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from consumer.intake.admission import admit
from consumer.intake.preset_files import read_presets
from cutstream.clients.kafka import Partition, Record
from cutstream.contract.options import RefineParameters
from cutstream.contract.recipe import refinement_of
from cutstream.errors import InvalidOption
from cutstream.settings import ModelSettings
from evaluation.tuning.preset_file import check_name, to_toml

EVERYTHING = RefineParameters(
    kernel=5,
    close=1,
    open=2,
    blur=7,
    threshold=0,
    dilate_kernel=9,
    dilate=1,
    edges="soft",
    keep_largest=True,
    fill_holes=True,
    feather=3,
    scale="none",
)


@pytest.mark.parametrize("parameters", [EVERYTHING, RefineParameters(), RefineParameters(edges="soft", threshold=140)])
def test_a_saved_preset_can_be_named_in_a_request(tmp_path: Path, parameters: RefineParameters) -> None:
    (tmp_path / "shoes.toml").write_bytes(to_toml(parameters, 'of "photos"\nand more'))
    value = json.dumps({"image": "s3://photos/shoe.jpg", "refine": "shoes"}).encode()
    record = Record(Partition("cutout.requests", 0), 0, 0, None, value, [])
    admitted = admit(record, ModelSettings(), read_presets(tmp_path))
    assert admitted.recipe.refinement == refinement_of(parameters)


@pytest.mark.parametrize(
    ("name", "message"), [("shoes.json", r"<name>\.toml"), ("smooth.toml", "`smooth` is a built-in")]
)
def test_an_invalid_file_name_is_an_error(name: str, message: str) -> None:
    check_name(Path("presets/shoes.toml"))
    with pytest.raises(InvalidOption, match=message):
        check_name(Path("presets") / name)

"""Refinement brings mattes nearer to the true alpha: cutnet's, and those of all networks whose weights are here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cutstream.settings import ModelSettings
from tests.support.networks import FOUND, PICTURES, at_hand, edges, matte_of

MIRROR = os.environ.get("CUTSTREAM_MODELS__MIRROR", "")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelSettings:
    return ModelSettings(mirror=Path(MIRROR) if MIRROR else None, store=tmp_path_factory.mktemp("store"))


def refinement_helps(net: str, name: str, models: ModelSettings) -> None:
    picture = PICTURES[name]()
    measured = edges(matte_of(net, picture.pixels, models), picture)
    assert measured.sad < measured.raw_sad
    assert measured.gradient < measured.raw_gradient


@pytest.mark.parametrize("name", FOUND["cutnet"])
def test_cutnets_edges(name: str, models: ModelSettings) -> None:
    refinement_helps("cutnet", name, models)


@pytest.mark.weights
@pytest.mark.parametrize(
    ("net", "name"),
    [(net, name) for net, names in FOUND.items() for name in names if net != "cutnet"],
)
def test_other_networks_edges(net: str, name: str, models: ModelSettings) -> None:
    if not at_hand(net, models):
        pytest.skip(f"CUTSTREAM_MODELS__MIRROR names no folder with the weights of {net}")
    refinement_helps(net, name, models)

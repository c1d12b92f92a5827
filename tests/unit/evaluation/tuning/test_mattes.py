from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cutstream.arrays.cpu import CpuOps
from cutstream.clients.triton import Ensemble
from cutstream.errors import InvalidOption
from cutstream.settings import ModelSettings
from evaluation.tuning.mattes import choose_profile, infer_mattes
from evaluation.tuning.photos import find_photos
from tests.support.evaluation import evaluation_folder


class RedChannel:
    """A stand-in for Triton whose matte is the image's red channel."""

    def ensemble(self, profile: str) -> Ensemble:
        return Ensemble(f"cutout_{profile}", "1", 40, 24, 8)

    def infer(self, ensemble: Ensemble, images: Any) -> Any:
        assert images.shape == (1, ensemble.height, ensemble.width, 3)
        return images[..., 0]


def test_each_photo_is_sent_once_at_the_networks_size(tmp_path: Path) -> None:
    found = find_photos(evaluation_folder(tmp_path / "set"))
    checks: list[None] = []
    samples = list(infer_mattes(found, "fast", RedChannel(), CpuOps(), lambda: checks.append(None)))  # type: ignore[arg-type]
    assert [sample.photo for sample in samples] == found
    assert {sample.matte.shape for sample in samples} == {(24, 40)}
    assert len(checks) == len(found)
    assert np.ptp(samples[0].matte) > 50


def test_the_check_of_the_stack_stops_it(tmp_path: Path) -> None:
    def stop() -> None:
        raise RuntimeError("the worker died")

    with pytest.raises(RuntimeError, match="died"):
        next(infer_mattes(find_photos(evaluation_folder(tmp_path / "set")), "fast", RedChannel(), CpuOps(), stop))  # type: ignore[arg-type]


def test_auto_cannot_be_tuned() -> None:
    models = ModelSettings(profiles=("fast", "general"), default_profile="general")
    assert choose_profile(None, models) == "general"
    assert choose_profile("fast", models) == "fast"
    with pytest.raises(InvalidOption, match="name the --profile"):
        choose_profile("auto", models)

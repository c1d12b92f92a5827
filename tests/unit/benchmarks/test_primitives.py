from __future__ import annotations

import numpy as np
import pytest

from benchmarks.micro.primitives import CASES, inputs, missing, primitives, row
from cutstream.arrays.cpu import CpuOps

OPS = CpuOps()


def test_every_primitive_is_measured() -> None:
    absent = sorted(missing())
    assert not absent, f"benchmarks/micro/primitives.py: give CASES a line for {', '.join(absent)}"


def test_primitives_are_the_array_methods_of_the_protocol() -> None:
    assert {"to_host", "erode", "lookup"} < primitives()
    assert not {"xp", "device", "errors", "synchronize"} & primitives()


@pytest.mark.parametrize("name", CASES)
def test_each_case_is_one_call_of_its_primitive(name: str) -> None:
    called = []

    class Watched(CpuOps):
        def __getattribute__(self, attribute: str) -> object:
            called.append(attribute)
            return super().__getattribute__(attribute)

    on, watched = inputs(40, 30, OPS), Watched()
    called.clear()
    CASES[name](on, watched)
    assert called == [name.partition("/")[0]]


def test_a_line_compares_two_devices() -> None:
    assert "cpu_per_cuda" not in row("box/3", 2, 1, {"cpu": 3.0})
    assert row("box/3", 2, 1, {"cpu": 3.0, "cuda": 1.5}) == {
        "benchmark": "primitive/box/3",
        "width": 2,
        "height": 1,
        "cpu_ms": 3.0,
        "cuda_ms": 1.5,
        "cpu_per_cuda": 2.0,
    }


def test_inputs_have_subject_and_surroundings() -> None:
    on = inputs(64, 48, OPS)
    assert on.alpha.shape == (48, 64)
    assert {0, 255} < set(np.unique(on.alpha))
    assert 0 < (on.hole > 0).mean() < 0.02

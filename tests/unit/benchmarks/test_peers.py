"""The comparison with other programs: how their rate is read off their files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.peers import rate_of


def test_a_rate_counts_from_the_first_output_to_the_last(tmp_path: Path) -> None:
    outputs = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(outputs):
        path.touch()
        os.utime(path, (0, 100 + number * 0.5))
    assert rate_of(outputs[::-1]) == pytest.approx(2.0)

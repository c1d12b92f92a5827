"""A sample of the mutants that `make mutants` runs: twelve of each original."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.corpus.judgement import distance
from tests.corpus.mutants import MUTATIONS, Mutant, mutant
from tests.corpus.originals import BUILDERS, original
from tests.corpus.parts import parts
from tests.corpus.report import table
from tests.corpus.run import run_mutants
from tests.support.pictures.opinions import by_pillow

SEED, SAMPLE = 1, 12 * len(BUILDERS)


@pytest.fixture(scope="module")
def sample() -> list[Mutant]:
    return [mutant(SEED, number) for number in range(SAMPLE)]


def test_no_mutant_ends_a_decoder_or_shows_a_wrong_picture(tmp_path: Path) -> None:
    tally = run_mutants(SEED, range(SAMPLE), save=tmp_path)
    assert not tally.violations, table(tally)
    assert sum(sum(counts.values()) for counts in tally.outcomes.values()) == SAMPLE
    assert all(counts["ok"] and counts.total() > counts["ok"] for counts in tally.outcomes.values())


def test_the_same_seed_makes_the_same_mutants(sample: list[Mutant]) -> None:
    assert [mutant(SEED, one.number).data for one in sample[::20]] == [one.data for one in sample[::20]]
    assert mutant(SEED + 1, 0).data != mutant(SEED, 0).data


def test_mutants_differ_from_their_originals_in_every_way(sample: list[Mutant]) -> None:
    assert all(one.data != original(one.name) for one in sample)
    assert {kind for one in sample for kind in one.kinds} >= set(MUTATIONS)


@pytest.mark.parametrize("name", BUILDERS)
def test_parts_lie_in_order_within_their_file(name: str) -> None:
    data = original(name)
    found = parts(data, name.split("/")[0])
    assert found
    assert all(0 <= part.start < part.end <= len(data) for part in found)
    assert [part.start for part in found] == sorted(part.start for part in found)


def test_distance_sees_a_single_band_and_a_lost_alpha() -> None:
    undamaged, _ = by_pillow(original("png/rgb"))
    shifted = undamaged.copy()
    shifted[100:140] = 255 - shifted[100:140]
    assert distance((undamaged, None), (undamaged, None)) == 0
    assert distance((undamaged, None), (shifted, None)) > 4
    assert distance((undamaged, undamaged[..., 0]), (undamaged, None)) > 4
    assert distance((undamaged, None), (undamaged[1:], None)) == float("inf")

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from cutstream.contract.options import RefineParameters
from cutstream.contract.recipe import parameters_of, refinement_of
from cutstream.matting import presets
from evaluation.tuning.search import VALUES, RankKey, drop_unused_sizes, search

PRESETS = {name: parameters_of(preset) for name, preset in presets.PRESETS.items()}
WANTED = RefineParameters(edges="soft", threshold=150, blur=9, feather=3)


class Judge:
    """Rates a candidate by the number of parameters that are as wanted, and keeps all candidates."""

    def __init__(self) -> None:
        self.judged: list[RefineParameters] = []

    def __call__(self, candidates: Sequence[RefineParameters]) -> list[RankKey]:
        self.judged += candidates
        return [
            (sum(getattr(parameters, name) == getattr(WANTED, name) for name in VALUES), 0.0)
            for parameters in candidates
        ]


def test_the_search_ends_at_the_best_candidate() -> None:
    judge = Judge()
    judged = search(PRESETS.values(), judge, budget=500, seed=0)
    assert max(judged, key=lambda parameters: judged[parameters]) == WANTED
    assert len(judged) < 500
    assert list(judged) == judge.judged
    assert len(set(judge.judged)) == len(judge.judged)


@pytest.mark.parametrize("budget", [9, 10, 25])
def test_the_budget_is_kept_and_presets_come_first(budget: int) -> None:
    judge = Judge()
    assert len(search(PRESETS.values(), judge, budget, seed=1)) == budget
    assert judge.judged[: len(PRESETS)] == list(PRESETS.values())


def test_the_same_seed_gives_the_same_order() -> None:
    def asked(seed: int) -> list[RefineParameters]:
        judge = Judge()
        search(PRESETS.values(), judge, 40, seed)
        return judge.judged

    assert asked(3) == asked(3)
    assert asked(3) != asked(4)


def test_the_first_of_equally_good_candidates_stays_the_best() -> None:
    judged = search(PRESETS.values(), lambda candidates: [(0.5,) for _ in candidates], 200, seed=0)
    tried = [parameters for parameters in judged if parameters not in PRESETS.values()]
    variations = {drop_unused_sizes(replace(PRESETS["soft"], **{n: v})) for n, values in VALUES.items() for v in values}
    assert set(tried) == variations - set(PRESETS.values())


def test_unused_sizes_are_not_varied() -> None:
    assert drop_unused_sizes(RefineParameters(kernel=9, dilate_kernel=5)) == RefineParameters()
    for used in ({"close": 1}, {"open": 1}, {"dilate": 1}):
        assert drop_unused_sizes(RefineParameters(kernel=9, **used)).kernel == 9
    assert drop_unused_sizes(RefineParameters(kernel=9, dilate=1, dilate_kernel=5)).kernel == 3


def test_every_value_is_valid_in_a_request() -> None:
    for name, values in VALUES.items():
        for value in values:
            refinement_of(RefineParameters(**{name: value}))
    largest = {name: max(value for value in values if value is not None) for name, values in VALUES.items()}
    refinement_of(RefineParameters(**largest))

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from cutstream.contract.options import RefineParameters
from cutstream.matting.presets import PRESETS, check_work, parameters
from evaluation.tuning.search import VALUES, RankKey, drop_unused_sizes, search

WANTED = RefineParameters(edges="soft", threshold=150, blur=9, feather=3)


class Judge:
    """Likes every parameter that is as wanted, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[RefineParameters] = []

    def __call__(self, candidates: Sequence[RefineParameters]) -> list[RankKey]:
        self.asked += candidates
        return [(sum(getattr(how, name) == getattr(WANTED, name) for name in VALUES), 0.0) for how in candidates]


def test_it_ends_at_the_best_where_no_parameter_makes_it_better() -> None:
    judge = Judge()
    judged = search(PRESETS.values(), judge, budget=500, seed=0)
    assert max(judged, key=lambda how: judged[how]) == WANTED
    assert len(judged) < 500
    assert list(judged) == judge.asked
    assert len(set(judge.asked)) == len(judge.asked)


@pytest.mark.parametrize("budget", [9, 10, 25])
def test_the_budget_holds_and_presets_come_first(budget: int) -> None:
    judge = Judge()
    assert len(search(PRESETS.values(), judge, budget, seed=1)) == budget
    assert judge.asked[: len(PRESETS)] == list(PRESETS.values())


def test_a_seed_asks_again_what_it_asked_and_another_asks_otherwise() -> None:
    def asked(seed: int) -> list[RefineParameters]:
        judge = Judge()
        search(PRESETS.values(), judge, 40, seed)
        return judge.asked

    assert asked(3) == asked(3)
    assert asked(3) != asked(4)


def test_the_first_of_equals_stays() -> None:
    judged = search(PRESETS.values(), lambda candidates: [(0.5,) for _ in candidates], 200, seed=0)
    tried = [how for how in judged if how not in PRESETS.values()]
    variations = {drop_unused_sizes(replace(PRESETS["soft"], **{n: v})) for n, values in VALUES.items() for v in values}
    assert set(tried) == variations - set(PRESETS.values())


def test_sizes_that_nothing_uses_are_not_varied() -> None:
    assert drop_unused_sizes(RefineParameters(kernel=9, dilate_kernel=5)) == RefineParameters()
    for used in ({"close": 1}, {"open": 1}, {"dilate": 1}):
        assert drop_unused_sizes(RefineParameters(kernel=9, **used)).kernel == 9
    assert drop_unused_sizes(RefineParameters(kernel=9, dilate=1, dilate_kernel=5)).kernel == 3


def test_every_value_is_one_that_a_request_may_give() -> None:
    for name, values in VALUES.items():
        for value in values:
            check_work(parameters(RefineParameters(**{name: value})), megapixels=1)
    largest = {name: max(value for value in values if value is not None) for name, values in VALUES.items()}
    check_work(parameters(RefineParameters(**largest)), megapixels=1)

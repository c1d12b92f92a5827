"""Growth, overload and drain are judged from figures: each sentence can appear, and a good run has none."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.e2e.chaos.judgement import Ages, Drained, Overloaded, ages, judge, judge_drain
from tests.e2e.chaos.overload import LATE_S, late_downloads
from tests.e2e.chaos.sampling import Sampler, grown, growth

GOOD = Overloaded(
    capacity_per_second=50,
    sent_per_second=150,
    results_per_second=90,
    finished_per_second=45,
    backlog_at_the_end=2000,
    caught_up_after_s=40,
    budget_mb=50,
    reserved_mb=49,
    memory_at_rest_mb=200,
    highest_memory_mb=240,
    samples=30,
    assignments=1,
    rebalances=0,
    expired=1000,
    expired_early=0,
    expired_but_downloaded=30,
    downloaded=400,
    downloaded_late=0,
    urgent=Ages(100, 0.5, 1.5),
    others=Ages(1000, 15, 30),
)
BROKEN = {
    "less than 2.5 times the capacity": {"sent_per_second": 60},
    "no overload": {"backlog_at_the_end": 100},
    "photos finished a second in overload": {"finished_per_second": 24},
    "too few to tell how much memory": {"samples": 1},
    "more than the budget of 50 MB": {"reserved_mb": 51},
    "held none back": {"reserved_mb": 3},
    "memory grew by 80 MB": {"highest_memory_mb": 280},
    "cannot be seen": {"assignments": 0},
    "1 rebalances": {"rebalances": 1},
    "nothing expired": {"expired": 0},
    "before their deadline": {"expired_early": 1},
    "after the deadline": {"downloaded_late": 1},
    "none can have been too late": {"downloaded": 0},
    "order proves nothing": {"urgent": Ages(0, 0, 0)},
    "urgent requests took 9 s": {"urgent": Ages(100, 3, 9)},
}


def test_a_good_overload_is_accepted() -> None:
    assert judge(GOOD) == []


@pytest.mark.parametrize("sentence", BROKEN)
def test_each_broken_promise_of_an_overload_is_one_sentence(sentence: str) -> None:
    (found,) = judge(replace(GOOD, **BROKEN[sentence]))
    assert sentence in found


def test_a_late_download_counts_whatever_its_request_ended_as() -> None:
    deadlines_s = {1: 100.0, 2: 100.0, 3: 100.0}
    assert late_downloads({1: 100.0 + LATE_S, 2: 100.5 + LATE_S, 7: 500.0}, deadlines_s) == 1


DRAINED = Drained(exit_code=0, seconds=3.1, limit_s=15, requests_left=400)


def test_a_good_drain_is_accepted() -> None:
    assert judge_drain(DRAINED) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"exit_code": 70}, "ended with 70"),
        ({"exit_code": None, "seconds": 30}, "did not end within 30.0 s and was killed"),
        ({"seconds": 15.04}, "after 15.0 s, the limit is 15 s"),
        ({"requests_left": 0}, "the drain proves nothing"),
    ],
)
def test_each_broken_promise_of_a_drain_is_one_sentence(change: dict[str, Any], sentence: str) -> None:
    (found,) = judge_drain(replace(DRAINED, **change))
    assert sentence in found


def test_ages_of_few_requests() -> None:
    assert ages([]) == Ages(0, 0, 0)
    assert ages([2.0]) == Ages(1, 2, 2)
    assert ages([float(second) for second in range(1, 20)]) == Ages(19, 10, 19)


def memory(requests: int, leak_mb: float, count: int = 80) -> list[dict[str, float]]:
    """Return samples of memory that goes up and down by some megabytes and grows by `leak_mb` per 10,000 requests."""
    noise = np.random.default_rng(1).normal(0, 5, count)
    done = np.linspace(0, requests, count)
    return [{"done": n, "uss_mb": 200 + n / 10_000 * leak_mb + e} for n, e in zip(done, noise, strict=True)]


def test_growth_is_the_slope_and_its_error() -> None:
    found = growth(memory(20_000, leak_mb=30), "uss_mb")
    assert found.slope == pytest.approx(30, abs=3 * found.error)
    assert 0 < found.error < 5


def test_what_is_flat_is_accepted_although_it_goes_up_and_down() -> None:
    assert grown(memory(20_000, leak_mb=0), {"uss_mb": 10}) == []


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        (memory(20_000, leak_mb=40), "more than 10"),
        (memory(1000, leak_mb=0), "too uncertain"),
        (memory(20_000, leak_mb=40, count=10), "too few"),
        ([], "too few"),
    ],
)
def test_a_leak_is_found_and_what_cannot_be_told_is_not_accepted(
    samples: list[dict[str, float]], sentence: str
) -> None:
    (found,) = grown(samples, {"uss_mb": 10})
    assert sentence in found


def test_a_figure_that_never_changes_is_flat() -> None:
    assert grown([{"done": n * 10, "threads": 57} for n in range(30)], {"threads": 1}) == []


def test_without_progress_nothing_can_be_told() -> None:
    (found,) = grown([{"done": 5, "threads": 57} for _ in range(30)], {"threads": 1})
    assert "too few" in found


@pytest.mark.parametrize(
    "samples",
    [
        [{"done": n * 10, "threads": math.nan if n == 20 else 57} for n in range(30)],
        [{"done": 5 + (n == 31), "threads": 57} for n in range(32)],  # the medians of all blocks are alike
    ],
)
def test_a_growth_that_is_no_figure_is_not_accepted(samples: list[dict[str, float]]) -> None:
    (found,) = grown(samples, {"threads": 1})
    assert "not usable" in found


@pytest.mark.parametrize(("missed", "sentences"), [(0, 0), (3, 0), (4, 1)])
def test_samples_that_are_missing_are_judged(missed: int, sentences: int) -> None:
    worker: Any = None
    sampler = Sampler(worker, lambda: 0, samples=[{}] * 30, missed=["no answer"] * missed)
    found = sampler.judge_missed()
    assert len(found) == sentences
    assert all("4 of 34 samples are missing, the last because of no answer" in sentence for sentence in found)

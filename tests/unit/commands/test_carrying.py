"""What a run of photos says at its end and meanwhile."""

from __future__ import annotations

import pytest

from commands import carrying
from commands.carrying import _Lines, describe_end
from producer.folders.work import Tally, Work

WORK = Work(arguments=(), fields={})


@pytest.mark.parametrize(
    ("tally", "told"),
    [
        (Tally(total=30, ok=30, seconds=10), ["30 photos done (10 s, 3.0 img/s)."]),
        (Tally(total=1, ok=1, seconds=0.07), ["1 photo done (0 s)."]),
        (Tally(total=1, failed=1, seconds=0.07), ["0 photos done.", "1 photo failed:"]),
        (
            Tally(done=1),
            ["0 photos done.", "1 photo was done before and has not changed: left out (--again does it again)."],
        ),
        (
            Tally(done=2),
            ["0 photos done.", "2 photos were done before and have not changed: left out (--again does them again)."],
        ),
    ],
)
def test_the_end_is_told_in_words_that_fit_the_numbers(tally: Tally, told: list[str]) -> None:
    assert list(describe_end(tally, WORK, "")) == told


def test_progress_is_told_again_only_if_there_is_some(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(carrying, "tell", said.append)
    now = iter(range(0, 1_000_000, 100))
    show = _Lines(lambda tally: f"{tally.ok} of {tally.total}", lambda: next(now))
    for ok in (1, 1, 1, 2, 2):
        show(Tally(total=2, ok=ok))
    assert said == ["1 of 2", "2 of 2"]

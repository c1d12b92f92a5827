from __future__ import annotations

import io
from dataclasses import replace
from math import inf

import pytest
from rich.console import Console

from commands.watching.screen import line, picture
from cutstream.exposition import read_exposition
from cutstream.metrics import Metrics
from cutstream.watching.scraping import Observed, Scrape
from cutstream.watching.view import STAGES, StageView, View, WorkerView, view_of


def view(**changes: object) -> View:
    stages = tuple(
        StageView(name, 14 if name == "segment" else 0, 6 if name == "segment" else 1, 0, 0.012) for name in STAGES
    )
    workers = (
        WorkerView("127.0.0.1:9100", "ready", well=True, rate=12.3, in_flight=26, window=32, lag=87, device="cpu"),
        WorkerView("10.0.0.2:9100", "away: Connection refused", away=True),
    )
    whole = View(
        workers=workers,
        stages=stages,
        statuses={"ok": 1234, "failed": 5, "expired": 2},
        codes={"image_not_found": 4, "invalid_request": 1},
        rate=12.34,
        lag=87,
        drain_s=7.07,
        oldest_s=130,
        latency=(0.42, 1.2, 25.0),
    )
    return replace(whole, **changes)


def drawn(view: View, width: int = 80, height: int = 24, ascii_only: bool = False) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height)
    console.print(picture(view, width, height, "q: quit", ascii_only))
    return [text.rstrip() for text in console.file.getvalue().splitlines()]


def test_everything_is_on_a_terminal_of_80_by_24() -> None:
    lines = drawn(view())
    assert lines[0] == "1 worker ready, 1 away   q: quit"
    assert lines[2:6] == [
        "   12.3/s   done 1,234   failed 5   2 expired",
        "  waiting 87   time to drain 7.1 s   oldest request 2.2 min",
        "  latency 50 % 420 ms   95 % 1.2 s   99 % 25 s",
        " failures 4 image_not_found, 1 invalid_request",
    ]
    (bottleneck,) = (text for text in lines if "bottleneck" in text)
    assert bottleneck.startswith("segment  12 ms       14        6")
    assert bottleneck.index("█") < bottleneck.index("░") < bottleneck.index("bottleneck")
    assert lines[-2].split() == ["127.0.0.1:9100", "12.3", "26/32", "87", "cpu", "ready"]
    assert lines[-1].split() == ["10.0.0.2:9100", "away:", "Connection", "refused"]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (40, 20)])
def test_nothing_is_wider_or_higher_than_the_terminal(width: int, height: int) -> None:
    many = tuple(WorkerView(f"10.0.0.{i}:9100", "x" * 300, well=i % 2 == 0, window=32) for i in range(60))
    codes = {f"code_{i}": 10**9 for i in range(50)}
    lines = drawn(view(workers=many, codes=codes, lag=1e300, drain_s=inf), width, height)
    assert max(map(len, lines)) <= width
    assert len(lines) <= height


@pytest.mark.parametrize("width", [30, 40, 50, 60])
def test_address_and_state_are_the_last_to_be_cut(width: int) -> None:
    workers = (
        WorkerView("127.0.0.1:9100", "ready", well=True, rate=12.3, in_flight=26, window=32, lag=87, device="cpu"),
        WorkerView("10.0.0.2:9100", "away: x", away=True),
    )
    lines = drawn(view(workers=workers), width)
    assert lines[-2].split()[0] == "127.0.0.1:9100"
    assert lines[-2].split()[-1] == "ready"
    assert lines[-1].split() == ["10.0.0.2:9100", "away:", "x"]


def test_what_is_not_known_is_a_dash_and_no_0() -> None:
    unknown = view(lag=None, drain_s=None, oldest_s=None, workers=(WorkerView("a:1", "halted: x", halted=True),))
    lines = drawn(unknown)
    assert lines[0].startswith("0 workers ready, 1 halted")
    assert lines[3] == "  waiting –   time to drain –   oldest request –"
    assert "lag=– drain=–" in line(unknown)
    assert line(unknown).startswith("workers=0/1 ")


def test_what_is_retried_later_is_told_apart() -> None:
    retried = view(lag=2, retry_lag=2, drain_s=0.0)
    assert "  waiting 0, and 2 retried later   time to drain 0 s   oldest request 2.2 min" in drawn(retried)
    assert "lag=2 retried_later=2 drain=0s" in line(retried)


def test_absurd_numbers_ruin_nothing() -> None:
    absurd = WorkerView("a:1", "ready", well=True, rate=1e300, in_flight=1e300, window=1e300, lag=1e300, memory=1e300)
    lines = drawn(view(workers=(absurd,), rate=1e300, lag=1e300, statuses={"ok": 10**300}), 120)
    assert any(text.startswith("a:1") and text.endswith("ready") and "≥ 10⁹" in text for text in lines)
    assert "done ≥ 10⁹" in lines[2]


def test_workers_that_are_not_well_are_shown_before_others() -> None:
    many = tuple(WorkerView(f"10.0.0.{i}:9100", "ready", well=True, window=32) for i in range(30))
    lines = drawn(
        view(workers=(*many, WorkerView("b:1", "not ready: triton"), WorkerView("c:1", "away: x", away=True)))
    )
    assert any("not ready: triton" in text for text in lines)
    assert any(text.startswith("c:1") for text in lines)
    assert lines[-1] == "and 26 more workers"


def test_a_terminal_without_unicode_gets_other_bars() -> None:
    (bottleneck,) = (text for text in drawn(view(), ascii_only=True) if "bottleneck" in text)
    assert bottleneck.isascii()
    assert "###---" in bottleneck


def test_the_line_has_the_same_numbers() -> None:
    assert line(view()) == (
        "workers=1/2 rate=12.3/s ok=1234 failed=5 expired=2 lag=87 drain=7.1s p50=420ms p95=1.2s p99=25s "
        "bottleneck=segment failed[image_not_found]=4 failed[invalid_request]=1 "
        "[10.0.0.2:9100 away: Connection refused]"
    )


def test_what_a_worker_names_cannot_control_the_terminal() -> None:
    escape = "\x1b]0;owned\x07\n\u202e"
    metrics = Metrics()
    metrics.requests.labels("fast", "failed", escape).inc()
    metrics.waiting.labels(escape).set(1)
    metrics.info.labels("x", "y", escape).set(1)
    answer = Scrape(1.0, read_exposition(metrics.exposition()[1].decode()))
    hostile = view_of([Observed("a:1", None, answer), Observed("b:1", None, Scrape(1.0, problem=f"away: {escape}"))])
    for text in (line(hostile), *drawn(hostile, 200)):
        assert text.isprintable(), text
    assert "\\u001b]0;owned" in line(hostile)

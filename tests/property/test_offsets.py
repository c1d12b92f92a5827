"""The watermark: whatever the order of finishing, only a contiguous prefix is ever committed, and all of it once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consumer.delivery.offsets import OffsetTracker
from cutstream.clients.kafka import Partition

P, Q = Partition("t", 0), Partition("t", 1)


@given(
    gaps=st.lists(st.integers(1, 5), min_size=1, max_size=30),
    order=st.randoms(use_true_random=False),
    limit=st.integers(1, 10),
)
def test_commits_are_contiguous_and_complete(gaps, order, limit) -> None:
    ledger: OffsetTracker[int] = OffsetTracker()
    offsets = [sum(gaps[: i + 1]) for i in range(len(gaps))]
    tickets = [ledger.begin(P, offset) for offset in offsets]
    finishing = tickets[:]
    order.shuffle(finishing)
    finished: set[int] = set()
    committed: list[int] = []
    for ticket in finishing:
        assert ledger.finish(ticket, ticket.offset)
        finished.add(ticket.offset)
        ready = ledger.ready(limit)
        assert len(ready.outcomes) <= limit
        if ready.outcomes:
            assert ready.offsets[P] == ready.outcomes[-1] + 1
            assert all(o in finished for o in offsets if o < ready.offsets[P])
        committed += ready.outcomes
        ledger.settle(ready)
    while (ready := ledger.ready(limit)).outcomes:
        committed += ready.outcomes
        ledger.settle(ready)
    assert committed == offsets
    assert (ledger.finished, ledger.unfinished) == (0, 0)


@given(st.lists(st.sampled_from(["begin", "finish", "drop", "commit"]), max_size=60), st.randoms(use_true_random=False))
def test_no_outcome_of_an_earlier_ownership_is_published(actions, order) -> None:
    ledger: OffsetTracker[tuple[int, int]] = OffsetTracker()
    under_way, next_offset = [], 0
    generation = 0
    for action in actions:
        if action == "begin":
            under_way.append((ledger.begin(P, next_offset), generation))
            next_offset += 1
        elif action == "finish" and under_way:
            ticket, born = under_way.pop(order.randrange(len(under_way)))
            assert ledger.finish(ticket, (ticket.offset, born)) == (born == generation)
        elif action == "drop":
            ledger.drop([P])
            generation += 1
            next_offset = max(0, next_offset - 3)  # the next owner starts again at what was committed
        else:
            ready = ledger.ready(100)
            assert all(born == generation for _, born in ready.outcomes)
            ledger.settle(ready)


def test_a_drop_during_a_commit_keeps_the_new_ownership_untouched() -> None:
    ledger: OffsetTracker[str] = OffsetTracker()
    ledger.finish(ledger.begin(P, 0), "old")
    under_way = ledger.ready(10)
    assert ledger.drop([P]) == 1
    ledger.finish(ledger.begin(P, 0), "new")
    ledger.settle(under_way)
    assert ledger.ready(10).outcomes == ["new"]


def test_one_slow_request_holds_only_its_partition() -> None:
    ledger: OffsetTracker[str] = OffsetTracker()
    ledger.begin(P, 0)
    ledger.finish(ledger.begin(P, 1), "held")
    ledger.finish(ledger.begin(Q, 7), "free")
    ready = ledger.ready(10)
    assert ready.outcomes == ["free"]
    assert ready.offsets == {Q: 8}

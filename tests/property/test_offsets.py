"""Requests may finish in any order: each commit is a contiguous prefix, and every request is committed once."""

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
    tracker: OffsetTracker[int] = OffsetTracker()
    offsets = [sum(gaps[: i + 1]) for i in range(len(gaps))]
    tracked = [tracker.track(P, offset) for offset in offsets]
    finishing = tracked[:]
    order.shuffle(finishing)
    finished: set[int] = set()
    committed: list[int] = []
    for request in finishing:
        assert tracker.finish(request, request.offset)
        finished.add(request.offset)
        assert tracker.partitions_with(tracker.finished_count) == {P}
        assert not tracker.partitions_with(tracker.finished_count + 1)
        batch = tracker.next_batch(limit)
        assert len(batch.outcomes) <= limit
        if batch.outcomes:
            assert batch.offsets[P] == batch.outcomes[-1] + 1
            assert all(o in finished for o in offsets if o < batch.offsets[P])
        committed += batch.outcomes
        tracker.mark_committed(batch)
    while (batch := tracker.next_batch(limit)).outcomes:
        committed += batch.outcomes
        tracker.mark_committed(batch)
    assert committed == offsets
    assert (tracker.finished_count, tracker.unfinished_count) == (0, 0)
    assert not tracker.partitions_with(1)


@given(st.lists(st.sampled_from(["track", "finish", "drop", "commit"]), max_size=60), st.randoms(use_true_random=False))
def test_no_outcome_of_an_earlier_ownership_is_published(actions, order) -> None:
    tracker: OffsetTracker[tuple[int, int]] = OffsetTracker()
    in_flight, next_offset = [], 0
    generation = 0
    for action in actions:
        if action == "track":
            in_flight.append((tracker.track(P, next_offset), generation))
            next_offset += 1
        elif action == "finish" and in_flight:
            request, born = in_flight.pop(order.randrange(len(in_flight)))
            assert tracker.finish(request, (request.offset, born)) == (born == generation)
        elif action == "drop":
            tracker.drop([P])
            generation += 1
            next_offset = max(0, next_offset - 3)  # the next owner starts again at the committed offset
        else:
            batch = tracker.next_batch(100)
            assert all(born == generation for _, born in batch.outcomes)
            tracker.mark_committed(batch)


def test_a_drop_during_a_commit_keeps_the_new_ownership_untouched() -> None:
    tracker: OffsetTracker[str] = OffsetTracker()
    tracker.finish(tracker.track(P, 0), "old")
    committing = tracker.next_batch(10)
    assert tracker.drop([P]) == 1
    tracker.finish(tracker.track(P, 0), "new")
    tracker.mark_committed(committing)
    assert tracker.next_batch(10).outcomes == ["new"]


def test_one_slow_request_holds_only_its_partition() -> None:
    tracker: OffsetTracker[str] = OffsetTracker()
    tracker.track(P, 0)
    tracker.finish(tracker.track(P, 1), "held")
    tracker.finish(tracker.track(Q, 7), "free")
    batch = tracker.next_batch(10)
    assert batch.outcomes == ["free"]
    assert batch.offsets == {Q: 8}


@given(finished=st.lists(st.integers(0, 9), min_size=2, max_size=6), limit=st.integers(1, 30))
def test_partitions_share_a_batch(finished, limit) -> None:
    tracker: OffsetTracker[str] = OffsetTracker()
    for number, count in enumerate(finished):
        for offset in range(count):
            tracker.finish(tracker.track(Partition("t", number), offset), "")
    batch = tracker.next_batch(limit)
    assert len(batch.outcomes) == min(limit, sum(finished))
    shares = [batch.offsets.get(Partition("t", number), 0) for number in range(len(finished))]
    unfilled = [share for share, count in zip(shares, finished, strict=True) if share < count]
    assert max(shares) - min(unfilled, default=max(shares)) <= 1


@given(read=st.integers(1, 5), finished=st.integers(0, 5), gap=st.integers(0, 3))
def test_the_position_is_committed_only_when_everything_before_it_is_finished(read, finished, gap) -> None:
    tracker: OffsetTracker[str] = OffsetTracker()
    tracked = [tracker.track(P, offset) for offset in range(read)]
    for request in tracked[:finished]:
        tracker.finish(request, "")
    committed = tracker.next_batch(10, {P: read + gap}.get).offsets.get(P, 0)
    assert committed == (read + gap if finished >= read else finished)

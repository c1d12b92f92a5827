"""Which letters are open, which numbers their replays get, and what a purge may delete."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from cutstream.clients.kafka import Headers, OutgoingRecord, Partition, Record
from cutstream.contract.dead_letters import Mark, NotALetter, is_mark, mark_headers, read_dead_letter, read_mark
from cutstream.contract.messages import SourceRecord
from cutstream.contract.redelivery import Redelivery, redelivery_headers
from cutstream.errors import FileTooLarge
from producer.letter_file import Filter, LetterFile, Place
from tests.support.letters import letter_record


def letter(id: str, value: bytes | None = None, **options) -> OutgoingRecord:
    return letter_record("letters", id, value, **options)


def replayed(id: str, number: int, offset: int = 0) -> OutgoingRecord:
    """Return the letter of a request that failed again as replay `number`."""
    origin = SourceRecord(topic="requests", partition=0, offset=offset, timestamp_ms=5)
    return letter(id, offset=offset, headers=redelivery_headers([], Redelivery(origin, replay=number)))


def mark(offset: int, closing: str = "replayed", id: str = "a", number: int = 1) -> OutgoingRecord:
    return OutgoingRecord("letters", None, None, mark_headers(Mark(closing, offset, id, number)))


def file_of(*partitions: Iterable[OutgoingRecord]) -> LetterFile:
    """Return the file of a topic with these partitions. Records are a second apart."""
    records = [
        Record(Partition("letters", number), offset, offset * 1000, r.key, r.value or b"", r.headers)
        for number, partition in enumerate(partitions)
        for offset, r in enumerate(partition)
    ]
    return LetterFile(records, {number: len(list(partition)) for number, partition in enumerate(partitions)})


def states(file: LetterFile) -> list[tuple[str, int, str]]:
    return [(entry.letter.id, entry.letter.replay, file.state(entry)) for entry in file.letters]


def test_a_letter_is_open_until_a_mark_closes_it() -> None:
    file = file_of([letter("a"), letter("b", offset=1), letter("c", offset=2), mark(0), mark(2, "purged", "c", 0)])
    assert states(file) == [("a", 0, "replayed"), ("b", 0, "open"), ("c", 0, "purged")]
    assert [entry.letter.id for entry in file.open] == ["b"]


def test_a_replay_that_failed_again_is_open_with_the_next_number() -> None:
    file = file_of([letter("a"), mark(0), replayed("a", 1)])
    assert states(file) == [("a", 0, "replayed"), ("a", 1, "open")]
    assert file.next_replay("a") == 2


def test_a_replay_that_failed_again_is_open_even_if_the_clock_of_its_worker_is_behind() -> None:
    file = file_of([replayed("a", 1, offset=9)], [letter("x", offset=2), letter("a", offset=9), mark(1)])
    assert states(file) == [("a", 1, "open"), ("x", 0, "open"), ("a", 0, "replayed")]


def test_only_the_newest_letter_of_an_id_is_open() -> None:
    file = file_of([letter("a", offset=1), letter("x", offset=2)], [letter("y", offset=3), letter("a", offset=4)])
    assert [(e.place, file.state(e)) for e in file.letters if e.letter.id == "a"] == [
        (Place(0, 0), "superseded"),
        (Place(1, 1), "open"),
    ]


def test_a_failure_that_was_written_twice_is_closed_once() -> None:
    twice = [letter("a", offset=7)], [letter("z", offset=1), letter("a", offset=7)]
    assert [entry.letter.id for entry in file_of(*twice).open] == ["z", "a"]
    assert [entry.letter.id for entry in file_of([*twice[0], mark(0)], twice[1]).open] == ["z"]
    assert [entry.letter.id for entry in file_of(twice[0], [*twice[1], mark(1)]).open] == ["z"]


def test_a_request_that_is_sent_again_under_a_replayed_id_gets_a_number_of_its_own() -> None:
    file = file_of([letter("a", offset=1), mark(0, number=4), letter("a", offset=9)])
    assert states(file)[-1] == ("a", 0, "open")
    assert file.next_replay("a") == 5


def test_replays_by_the_requester_count_as_well() -> None:
    origin = SourceRecord(topic="requests", partition=0, offset=0, timestamp_ms=5)
    headers = redelivery_headers([("tenant", b"x")], Redelivery(origin, attempts=3, not_before_ms=9, replay=2))
    read = read_dead_letter(b'{"replay": 3}', letter("a", headers=headers).headers)
    assert (read.replay, read.redelivered, read.headers) == (5, 2, [("tenant", b"x")])


def test_only_a_beginning_that_marks_have_closed_may_be_deleted() -> None:
    first, second = (
        [letter("a"), mark(0), letter("b", offset=1)],
        [letter("c", offset=2), letter("d", offset=3), mark(1)],
    )
    assert file_of(first, second).finished_prefixes() == {0: 2}
    assert file_of([*first, mark(2)], second).finished_prefixes() == {0: 4}
    superseded = [letter("c", offset=2), letter("c", offset=3), mark(1)]
    assert file_of(superseded).finished_prefixes() == {}
    unknown = OutgoingRecord("letters", None, b"not ours")
    file = file_of([unknown, letter("a"), mark(1)])
    assert (file.unknown_count, file.finished_prefixes()) == (1, {})


def test_a_request_with_the_headers_of_a_mark_is_a_letter_all_the_same() -> None:
    forged: Headers = [*mark_headers(Mark("purged", 0, "a", 0)), ("__cutstream.errors.offset", b"x")]
    file = file_of([letter("a"), letter("b", offset=1, headers=forged)])
    assert states(file) == [("a", 0, "open"), ("b", 0, "open")]
    assert is_mark(forged[:4])
    assert read_mark(forged[:4]) == Mark("purged", 0, "a", 0)
    with pytest.raises(NotALetter):
        read_mark(mark_headers(Mark("lost", 0, "a", 0)))  # type: ignore[arg-type]


def test_a_letter_that_is_no_request_can_be_read() -> None:
    read = read_dead_letter(b"\xff{", letter("requests-0-3", b"\xff{", offset=3).headers)
    assert (read.id, read.labels, read.image, read.replay) == ("requests-0-3", {}, "", 0)
    assert (read.code, read.stage, read.message) == ("failed_image_download", "fetch", "no such file")


@pytest.mark.parametrize(
    ("filter", "ids"),
    [
        (Filter(), ["order-1", "order-2", "b", "c"]),
        (Filter(codes={"file_too_large", "other"}), ["order-2"]),
        (Filter(ids=("order-*",)), ["order-1", "order-2"]),
        (Filter(ids=("b", "c")), ["b", "c"]),
        (Filter(labels={"shop": "1"}), ["b", "c"]),
        (Filter(labels={"shop": "1", "day": "mon"}), ["c"]),
        (Filter(image="s3://photos/order-?.jpg"), ["order-1", "order-2"]),
        (Filter(since_ms=1000, until_ms=3000), ["order-2", "b"]),
        (Filter(limit=1), ["c"]),
        (Filter(limit=9, codes={"failed_image_download"}), ["order-1", "b", "c"]),
    ],
)
def test_a_filter_selects_what_matches_everything_given(filter: Filter, ids: list[str]) -> None:
    file = file_of(
        [
            letter("order-1", offset=0),
            letter("order-2", offset=1, error=FileTooLarge("40 MB")),
            letter("b", b'{"labels": {"shop": "1"}}', offset=2),
            letter("c", b'{"labels": {"shop": "1", "day": "mon"}}', offset=3),
        ]
    )
    assert [entry.letter.id for entry in filter.select(file.open)] == ids


def test_an_id_that_looks_like_a_pattern_names_itself_as_well() -> None:
    file = file_of([letter("order[1]"), letter("order1"), letter("order/2")])
    assert [entry.letter.id for entry in Filter(ids=("order[1]",)).select(file.letters)] == ["order[1]", "order1"]
    assert [entry.letter.id for entry in Filter(ids=("order/*",)).select(file.letters)] == ["order/2"]

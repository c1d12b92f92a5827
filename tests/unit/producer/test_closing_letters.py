"""What closes dead letters, and how it is shared out among transactions."""

from __future__ import annotations

from collections import Counter

import pytest

from cutstream.clients.kafka import OutgoingRecord, Partition, Record
from cutstream.contract.dead_letters import is_mark, read_mark
from cutstream.contract.envelope import dead_letter_headers
from cutstream.contract.messages import ErrorDetail, SourceRecord
from cutstream.contract.redelivery import read_redelivery
from cutstream.contract.sizes import MAX_REQUEST_BYTES, size_of
from cutstream.errors import RequestTooLarge, UnreadableRequest
from cutstream.settings import KafkaSettings
from producer.closing_letters import Step, obstacle, purge_steps, replay_steps, transactions
from producer.letter_file import LetterFile
from tests.support.letters import letter_record

SETTINGS = KafkaSettings(dead_letters_topic="letters", retry_topic="retry")


def file_of(*letters: OutgoingRecord) -> LetterFile:
    records = [
        Record(Partition("letters", 0), offset, offset, r.key, r.value or b"", r.headers)
        for offset, r in enumerate(letters)
    ]
    return LetterFile(records, {0: len(records)})


def letter(id: str = "a", value: bytes | None = None, offset: int = 0) -> OutgoingRecord:
    return letter_record("letters", id, value, offset=offset)


def size(group: list[Step]) -> int:
    return sum(size_of(r.key, r.value or b"", r.headers) for step in group for r in step.records)


def test_a_replay_goes_to_the_retry_topic_due_at_once_together_with_its_mark() -> None:
    file = file_of(letter("a"))
    (step,) = replay_steps(SETTINGS, file, file.open)
    request, mark = step.records
    history = read_redelivery(request.headers)
    assert (request.topic, history.replay, history.not_before_ms) == ("retry", 1, 0)
    assert (mark.topic, read_mark(mark.headers).closing) == ("letters", "replayed")
    assert (step.letter, step.number) == (file.open[0], 1)


def test_transactions_are_bounded_by_their_records_and_their_bytes() -> None:
    small = file_of(*(letter(f"id-{n}", offset=n) for n in range(1600)))
    groups = list(transactions(replay_steps(SETTINGS, small, small.open)))
    assert [sum(len(step.records) for step in group) for group in groups] == [1000, 1000, 1000, 200]
    large = file_of(*(letter(f"id-{n}", b"x" * 500_000, offset=n) for n in range(40)))
    groups = list(transactions(replay_steps(SETTINGS, large, large.open)))
    assert max(map(size, groups)) <= 8 * 1024 * 1024
    assert sum(map(len, groups)) == 40
    assert len(groups) == 3


@pytest.mark.parametrize("steps", [replay_steps, purge_steps])
def test_the_older_letters_of_an_id_are_closed_before_the_newest_one_however_many_there_are(steps) -> None:
    file = file_of(*(letter("a", offset=n) for n in range(5000)))
    groups = list(transactions(steps(SETTINGS, file, file.open)))
    assert [len(group) for group in groups][:4] == [1000] * 4
    written = [r for group in groups for step in group for r in step.records]
    marks = [read_mark(r.headers) for r in written if is_mark(r.headers)]
    assert Counter(mark.closing for mark in marks)["superseded"] == 4999
    assert {mark.offset for mark in marks} == set(range(5000))
    assert (marks[-1].offset, groups[-1][-1].letter.place.offset) == (4999, 4999)
    assert all(step.letter is None for group in groups for step in group[:-1])


def test_copies_of_one_letter_are_closed_together() -> None:
    file = file_of(letter("a", offset=1), letter("a", offset=2), letter("a", offset=2))
    older, closing = replay_steps(SETTINGS, file, file.open)
    assert [read_mark(r.headers).offset for r in older.records] == [0]
    assert [read_mark(r.headers).offset for r in closing.records[1:]] == [1, 2]


def test_what_cannot_be_replayed_says_why() -> None:
    source, error = SourceRecord(topic="requests", partition=0, offset=7, timestamp_ms=5), RequestTooLarge("too large")
    described = dead_letter_headers([], "cut", source, ErrorDetail.of(error, "request"), error, 9_000_000)
    lost = UnreadableRequest("its batch is damaged")
    unread = dead_letter_headers([], "unread", source, ErrorDetail.of(lost, "request"), lost)
    worn = letter("worn", b'{"id": "worn", "replay": 1000000, "image": "s3://a/b"}', offset=3)
    old = letter("old", b" " * (MAX_REQUEST_BYTES + 1), offset=2)
    file = file_of(
        letter("a"),
        OutgoingRecord("letters", None, b"{", described),
        OutgoingRecord("letters", None, b"", unread),
        worn,
        old,
    )
    reasons = {entry.letter.id: obstacle(file, entry) for entry in file.letters}
    assert reasons["a"] is None
    assert reasons["cut"] == "its request has 9000000 bytes; at most 524288 are accepted"
    assert reasons["unread"] == "its request could not be read"
    assert reasons["worn"] == "its id has had 1000000 replays"
    assert "524292 bytes" in reasons["old"]

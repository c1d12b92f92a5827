"""What closes dead letters: the records of a replay or a purge, in transactions of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cutstream.clients.kafka import OutgoingRecord
from cutstream.contract.dead_letters import Closing, Mark, mark_headers
from cutstream.contract.messages import MAX_REPLAY
from cutstream.contract.redelivery import Redelivery, redelivery_headers
from cutstream.contract.sizes import MAX_REQUEST_BYTES, size_of
from cutstream.errors import UnreadableRequest
from cutstream.settings import KafkaSettings
from producer.letter_file import FiledLetter, LetterFile, delivery_of

_MOST_RECORDS = 1000
_MOST_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Step:
    """Records to be written in one transaction. `letter` is the one that they close for the command, if any."""

    records: Sequence[OutgoingRecord]
    letter: FiledLetter | None = None
    number: int = 0


def obstacle(file: LetterFile, entry: FiledLetter) -> str | None:
    """Return why a letter cannot be replayed, or None if it can."""
    letter = entry.letter
    if letter.code == UnreadableRequest.code:
        return "its request could not be read"
    size = letter.cut_from_bytes or size_of(entry.key, letter.value, letter.headers)
    if letter.cut_from_bytes or size > MAX_REQUEST_BYTES:
        return f"its request has {size} bytes; at most {MAX_REQUEST_BYTES} are accepted"
    if file.next_replay(letter.id) > MAX_REPLAY:
        return f"its id has had {MAX_REPLAY} replays"
    return None


def replay_steps(settings: KafkaSettings, file: LetterFile, entries: Iterable[FiledLetter]) -> Iterator[Step]:
    """Yield what replays these letters, in the order in which it has to be written."""
    for entry in entries:
        number = file.next_replay(entry.letter.id)
        yield from _steps(settings, file, entry, "replayed", number, _request(settings, entry, number))


def purge_steps(settings: KafkaSettings, file: LetterFile, entries: Iterable[FiledLetter]) -> Iterator[Step]:
    """Yield what purges these letters, in the order in which it has to be written."""
    for entry in entries:
        yield from _steps(settings, file, entry, "purged", entry.letter.replay)


def transactions(steps: Iterable[Step]) -> Iterator[list[Step]]:
    """Group steps into transactions, in their order: up to 1000 records and 8 MiB each, and at least one step."""
    group: list[Step] = []
    records = size = 0
    for step in steps:
        step_size = sum(size_of(r.key, r.value or b"", r.headers) for r in step.records)
        if group and (records + len(step.records) > _MOST_RECORDS or size + step_size > _MOST_BYTES):
            yield group
            group, records, size = [], 0, 0
        group.append(step)
        records += len(step.records)
        size += step_size
    if group:
        yield group


def _steps(
    settings: KafkaSettings, file: LetterFile, entry: FiledLetter, closing: Closing, number: int, *also: OutgoingRecord
) -> Iterator[Step]:
    """Yield a mark for each older letter of the same id, of which there may be thousands, then what closes this one.

    The marks come first. Without them, an older letter would be open again once the newest one has been deleted. Copies
    of the letter itself, which a worker without transactions may have written, are closed together with it: the mark of
    one closes them all.
    """
    together = list(also)
    for other in file.unmarked(entry.letter.id):
        kind: Closing = closing if other is entry else "superseded"
        headers = mark_headers(Mark(kind, other.place.offset, entry.letter.id, number))
        mark = OutgoingRecord(settings.dead_letters_topic, None, b"", headers, other.place.partition)
        if delivery_of(other) == delivery_of(entry):
            together.append(mark)
        else:
            yield Step([mark])
    yield Step(together, entry, number)


def _request(settings: KafkaSettings, entry: FiledLetter, number: int) -> OutgoingRecord:
    letter = entry.letter
    by_requester = letter.replay - letter.redelivered
    headers = redelivery_headers(letter.headers, Redelivery(letter.origin, replay=number - by_requester))
    return OutgoingRecord(settings.retry_topic, entry.key, letter.value, headers)

"""List, replay and purge dead letters.

A letter is open until a mark closes it. A replay writes the request and the mark in one transaction. All commands
share one transactional id, so a later command fences an earlier one, and each reads the topic to its end after that and
before it writes. Hence no letter is replayed twice, however many commands run at once and wherever they are killed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from cutstream.clients.kafka import (
    Record,
    RecordWriter,
    TopicReader,
    TransactionalWriter,
    delete_records,
)
from cutstream.clock import Clock
from cutstream.contract.cancellations import CancellationIndex
from cutstream.contract.dead_letters import DeadLetter
from cutstream.contract.envelope import open_envelope
from cutstream.contract.messages import decode_request
from cutstream.errors import InvalidRequest
from cutstream.settings import KafkaSettings
from producer.cancelling import list_cancellations
from producer.closing_letters import obstacle, purge_steps, replay_steps, transactions
from producer.letter_file import FiledLetter, LetterFile, Place
from producer.reading import read_to_end


def read_letters(settings: KafkaSettings) -> LetterFile:
    """Return all dead letters. Raises NoTopic."""
    return _read(settings, settled=False)


def replay(settings: KafkaSettings, places: Collection[Place], on_replayed: Callable[[FiledLetter, int], None]) -> int:
    """Write the requests of these letters to the retry topic, due at once, with their next replay numbers.

    Letters that are no longer open are left out, and so are those with an obstacle. `on_replayed` is called, after its
    transaction, for each letter with the number of its replay. Return how many there were. Raises Fenced if another
    command has taken over.
    """
    with closing(_open_writer(settings)) as writer:
        file = _read(settings, settled=True)
        chosen = [entry for entry in file.open if entry.place in places and not obstacle(file, entry)]
        for group in transactions(replay_steps(settings, file, chosen)):
            writer.write(record for step in group for record in step.records)
            for step in group:
                if step.letter is not None:
                    on_replayed(step.letter, step.number)
    return len(chosen)


@dataclass(frozen=True)
class Purged:
    """The letters that a purge has closed, and for each partition the offset before which Kafka has none left."""

    letters: Sequence[FiledLetter]
    deleted_before: Mapping[int, int]


def purge(settings: KafkaSettings, places: Collection[Place]) -> Purged:
    """Close these letters for good, as far as they are open, and delete what may be deleted.

    Kafka can only delete records from the beginning of a partition. So a closed letter stays on the topic until all
    letters before it are closed. Raises Fenced if another command has taken over.
    """
    with closing(_open_writer(settings)) as writer:
        file = _read(settings, settled=True)
        chosen = [entry for entry in file.open if entry.place in places]
        for group in transactions(purge_steps(settings, file, chosen)):
            writer.write(record for step in group for record in step.records)
        remaining = _read(settings, settled=True) if chosen else file
        prefixes = remaining.finished_prefixes()
        if prefixes:
            delete_records(settings, settings.dead_letters_topic, prefixes)
    return Purged(chosen, prefixes)


def find_cancelled(settings: KafkaSettings, entries: Iterable[FiledLetter], clock: Clock) -> list[FiledLetter]:
    """Return the letters whose requests are called off: a replay of them would end as `cancelled`."""
    index = CancellationIndex(list_cancellations(settings, clock))
    return [
        entry
        for entry in entries
        if index.find(entry.letter.id, entry.letter.labels, entry.letter.origin.timestamp_ms, clock.wall())
    ]


def is_hopeless(letter: DeadLetter) -> bool:
    """Return whether the record is no valid request, so that a replay fails again."""
    try:
        decode_request(open_envelope(letter.value, letter.headers).payload)
    except InvalidRequest:
        return True
    return False


def count_by_code(entries: Iterable[FiledLetter]) -> Counter[str]:
    """Count letters by error code."""
    return Counter(entry.letter.code for entry in entries)


def _open_writer(settings: KafkaSettings) -> RecordWriter | TransactionalWriter:
    transactions = settings.delivery == "exactly_once"
    writer = (
        TransactionalWriter(settings, settings.operator_transactional_id) if transactions else RecordWriter(settings)
    )
    writer.start()
    return writer


def _read(settings: KafkaSettings, settled: bool) -> LetterFile:
    """Read the whole topic. With `settled`, nothing that was written before is missed.

    Without it, a mark is missed that lies behind a worker's open transaction.
    """
    records: list[Record] = []
    with closing(TopicReader(settings, settings.dead_letters_topic, settled=settled)) as reader:
        reader.start()
        for polled in read_to_end(settings, settings.dead_letters_topic, reader):
            records += polled
        # Another command may have deleted a closed letter's mark after this one had read the letter.
        starts = reader.starts()
        held = [record for record in records if record.offset >= starts[record.partition.number]]
        return LetterFile(held, reader.ends)

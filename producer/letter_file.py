"""The dead letters that a topic holds, which of them are open, and the filter that selects among them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from cutstream.clients.kafka import Record
from cutstream.contract.dead_letters import Closing, DeadLetter, Mark, NotALetter, is_mark, read_dead_letter, read_mark

State = Literal["open"] | Closing


class Place(NamedTuple):
    """The place of a letter on the topic of dead letters."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class FiledLetter:
    """A dead letter and its place. `timestamp_ms` is when it was written, `key` is the request's."""

    place: Place
    timestamp_ms: int
    key: bytes | None
    letter: DeadLetter


@dataclass(frozen=True)
class Filter:
    """The letters that a command is about: those that match everything given.

    `ids` and `image` are patterns with `*`, `?` and `[…]`; an id may also be given as it is. Times are in milliseconds
    since the Unix epoch and refer to the failure. A limit keeps the newest.
    """

    codes: Collection[str] = ()
    ids: Collection[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    limit: int | None = None

    def select(self, filed: Iterable[FiledLetter]) -> list[FiledLetter]:
        """Return the letters that match, in their order."""
        matching = [entry for entry in filed if self._matches(entry)]
        return matching if self.limit is None else matching[max(0, len(matching) - self.limit) :]

    def _matches(self, entry: FiledLetter) -> bool:
        letter = entry.letter
        return (
            (not self.codes or letter.code in self.codes)
            and (not self.ids or letter.id in self.ids or any(fnmatchcase(letter.id, id) for id in self.ids))
            and self.labels.items() <= letter.labels.items()
            and (self.image is None or fnmatchcase(letter.image, self.image))
            and (self.since_ms is None or entry.timestamp_ms >= self.since_ms)
            and (self.until_ms is None or entry.timestamp_ms < self.until_ms)
        )


class LetterFile:
    """All dead letters on the topic, the oldest first, and which of them are open.

    Only the newest letter of an id is open, since an id has one folder of objects. That is the one with the highest
    `replay`, and among equals the last. An older one is superseded.
    """

    def __init__(self, records: Iterable[Record], ends: Mapping[int, int]) -> None:
        self._ends = ends
        self._marks: dict[Place, Mark] = {}
        self._unknown: set[Place] = set()
        filed: list[FiledLetter] = []
        for record in records:
            place = Place(record.partition.number, record.offset)
            try:
                if is_mark(record.headers):
                    mark = read_mark(record.headers)
                    self._marks[Place(place.partition, mark.offset)] = mark
                else:
                    letter = read_dead_letter(record.value, record.headers)
                    filed.append(FiledLetter(place, record.timestamp_ms, record.key, letter))
            except NotALetter:
                self._unknown.add(place)
        self.letters = sorted(filed, key=lambda entry: (entry.timestamp_ms, entry.place))
        self._by_id: dict[str, list[FiledLetter]] = defaultdict(list)
        self._last_replay: dict[str, int] = defaultdict(int)
        # By replay first: the clocks of the workers that wrote the letters may differ.
        for entry in sorted(self.letters, key=lambda entry: (entry.letter.replay, entry.timestamp_ms, entry.place)):
            self._by_id[entry.letter.id].append(entry)
        numbered: list[DeadLetter | Mark] = [*(entry.letter for entry in filed), *self._marks.values()]
        for item in numbered:
            self._last_replay[item.id] = max(self._last_replay[item.id], item.replay)
        # A worker without transactions may write one failure twice: what closes one of the letters closes both.
        self._closed_deliveries = {
            delivery_of(entry): self._marks[entry.place].closing for entry in self.letters if entry.place in self._marks
        }

    @property
    def unknown_count(self) -> int:
        """The number of records that are neither letters nor marks. They are left alone."""
        return len(self._unknown)

    @property
    def open(self) -> list[FiledLetter]:
        """The open letters, the oldest first."""
        return [entry for entry in self.letters if self.state(entry) == "open"]

    def state(self, entry: FiledLetter) -> State:
        """Return whether a letter is open, or how it was closed."""
        if mark := self._marks.get(entry.place):
            return mark.closing
        if closing := self._closed_deliveries.get(delivery_of(entry)):
            return closing
        return "open" if self._by_id[entry.letter.id][-1] is entry else "superseded"

    def next_replay(self, id: str) -> int:
        """Return a number that no replay of this id has had."""
        return 1 + self._last_replay[id]

    def unmarked(self, id: str) -> Iterator[FiledLetter]:
        """Yield the letters of this id that have no mark of their own."""
        return (entry for entry in self._by_id[id] if entry.place not in self._marks)

    def finished_prefixes(self) -> dict[int, int]:
        """Return, for each partition that begins with letters closed by marks, the offset before which all are."""
        closed = {entry.place for entry in self.letters if entry.place in self._marks}
        kept = self._unknown | {entry.place for entry in self.letters} - closed
        prefixes = {}
        for partition, end in self._ends.items():
            first_kept = min((place.offset for place in kept if place.partition == partition), default=end)
            if any(place.partition == partition and place.offset < first_kept for place in closed):
                prefixes[partition] = first_kept
        return prefixes


def delivery_of(entry: FiledLetter) -> tuple[str, int, int, int]:
    """Return what letters have in common that are copies of one: the delivery of the request that failed."""
    origin = entry.letter.origin
    return origin.topic, origin.partition, origin.offset, entry.letter.replay

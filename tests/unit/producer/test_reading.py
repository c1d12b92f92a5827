"""Topics are read to their ends, with a scripted reader; tests/integration/kafka has a real one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from cutstream.clients.kafka import Partition, Record
from cutstream.errors import BrokerUnavailable
from cutstream.settings import KafkaSettings
from producer import following, reading
from producer.following import read_results
from producer.reading import read_to_end

SETTINGS = KafkaSettings()


def record(offset: int, value: bytes = b"{}") -> Record:
    return Record(Partition("results", 0), offset, 0, None, value, [])


class Reader:
    """A topic of one partition that delivers these polls, and after them nothing."""

    def __init__(self, polls: Sequence[list[Record]], end: int) -> None:
        self.polls = list(polls)
        self.polled = self.position = 0
        self.ends = {0: end}

    def start(self) -> None:
        """Nothing to connect to."""

    def close(self) -> None:
        """Nothing is open."""

    @property
    def caught_up(self) -> bool:
        return self.position >= self.ends[0]

    def poll(self, timeout_s: float) -> list[Record]:
        self.polled += 1
        records = self.polls.pop(0) if self.polls else []
        self.position = records[-1].offset + 1 if records else self.position
        return records


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Reader | BrokerUnavailable], None]:
    """Return a function that says what a new connection finds."""

    def answer(found: Reader | BrokerUnavailable) -> None:
        def connect(settings: KafkaSettings, topic: str) -> Reader:
            if isinstance(found, BrokerUnavailable):
                raise found
            return found

        monkeypatch.setattr(reading, "TopicReader", connect)

    return answer


def test_an_empty_poll_is_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader([[record(0)], [], [], [record(1), record(2, b"\xff")]], end=3)
    monkeypatch.setattr(following, "TopicReader", lambda settings, topic, **options: reader)
    assert [*read_results(SETTINGS, follow=False)] == [["{}"], ["{}", "\N{REPLACEMENT CHARACTER}"]]
    assert reader.polled == 4


def test_following_goes_on_behind_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader([[record(0)], [], [record(1)]], end=1)
    monkeypatch.setattr(following, "TopicReader", lambda settings, topic, **options: reader)
    lines = read_results(SETTINGS, follow=True)
    assert [next(lines), next(lines)] == [["{}"], ["{}"]]


def test_a_broker_that_has_died_is_named_after_five_seconds(asked) -> None:
    asked(BrokerUnavailable("no Kafka broker answers at kafka:9092"))
    reader = Reader([[record(0)]], end=2)
    with pytest.raises(BrokerUnavailable, match="no Kafka broker answers at kafka:9092"):
        list(read_to_end(SETTINGS, "results", reader))  # type: ignore[arg-type]
    assert reader.polled == 26


@pytest.mark.parametrize(
    ("readable", "cause"), [(1, "a transaction on topic .results. is open for a minute"), (2, "deliver no records")]
)
def test_after_a_silent_minute_the_cause_is_told(asked, readable: int, cause: str) -> None:
    asked(Reader([], end=readable))
    reader = Reader([[record(0)]], end=2)
    with pytest.raises(BrokerUnavailable, match=cause):
        list(read_to_end(SETTINGS, "results", reader))  # type: ignore[arg-type]
    assert reader.polled == 301


def test_silence_is_counted_anew_after_a_record(asked) -> None:
    asked(Reader([], end=1))
    reader = Reader([[record(0)], *[[]] * 299, [record(1)], *[[]] * 299, [record(2)]], end=3)
    assert sum(map(len, read_to_end(SETTINGS, "results", reader))) == 3  # type: ignore[arg-type]

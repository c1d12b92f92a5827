"""Cancellations are written, renewed, withdrawn, and removed when they have expired."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest

from cutstream.clock import ManualClock
from cutstream.contract.cancellations import Cancellation, apply
from cutstream.errors import InvalidOption
from cutstream.settings import KafkaSettings
from producer import cancelling
from producer.cancelling import cancel, list_cancellations, read_ids, undo
from producer.entries import NothingFound

SETTINGS = KafkaSettings()


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> dict[str, Cancellation]:
    """The current entries of the topic."""
    entries: dict[str, Cancellation] = {}

    def write(settings: KafkaSettings, records: Mapping[str, bytes | None]) -> None:
        for key, value in records.items():
            apply(entries, key.encode(), value or b"")

    monkeypatch.setattr(cancelling, "_read", lambda settings: dict(entries))
    monkeypatch.setattr(cancelling, "_write", write)
    return entries


def test_an_expired_cancellation_is_not_listed_and_the_next_command_removes_it(topic: dict[str, Cancellation]) -> None:
    clock = ManualClock()
    cancel(SETTINGS, ["a", "b"], {}, clock, timedelta(hours=1))
    cancel(SETTINGS, [], {"batch": "7", "shop": "1"}, clock, timedelta(hours=3))
    assert [(c.id, c.labels) for c in list_cancellations(SETTINGS, clock)] == [
        ("a", {}),
        ("b", {}),
        (None, {"batch": "7", "shop": "1"}),
    ]
    clock.sleep(3600)
    assert [c.labels for c in list_cancellations(SETTINGS, clock)] == [{"batch": "7", "shop": "1"}]
    assert len(topic) == 3
    cancel(SETTINGS, ["b"], {}, clock)
    assert topic.keys() == {"id:b", 'labels:{"batch":"7","shop":"1"}'}
    assert topic["id:b"].cancelled.timestamp() == clock.wall()


def test_undo_takes_the_same_ids_or_labels(topic: dict[str, Cancellation]) -> None:
    cancel(SETTINGS, ["a", "b"], {}, ManualClock())
    cancel(SETTINGS, [], {"batch": "7", "shop": "1"}, ManualClock())
    undo(SETTINGS, [], {"shop": "1", "batch": "7"})
    with pytest.raises(NothingFound, match="no cancellation for id:c"):
        undo(SETTINGS, ["a", "c"], {})
    undo(SETTINGS, ["a"], {})
    assert topic.keys() == {"id:b"}


@pytest.mark.parametrize(("ids", "labels"), [([], {}), (["a"], {"batch": "7"})])
def test_requests_are_named_either_by_ids_or_by_labels(topic, ids: list[str], labels: dict[str, str]) -> None:
    for command in (lambda: cancel(SETTINGS, ids, labels, ManualClock()), lambda: undo(SETTINGS, ids, labels)):
        with pytest.raises(InvalidOption, match="either by their ids or by their labels"):
            command()
    assert not topic


def test_ids_are_read_from_the_output_of_submit() -> None:
    assert read_ids(["a-1\tfile:///a.png\n", "\n", "b-2\n", "  "]) == ["a-1", "b-2"]


@pytest.mark.parametrize(
    ("ids", "labels", "problem"),
    [
        (["a", ""], {}, "no request has this: `id`: expected text of 1 to 4,096 characters, not ''"),
        (["a" * 4097], {}, "no request has this: `id`: expected text of 1 to 4,096 characters, not 4,097 characters"),
        (["caf\udce9"], {}, "no request has 'caf\\udce9', which is not UTF-8"),
        ([], {"": "x"}, "no request has this: `labels`: the name '' is not text of 1 to 100 characters"),
        ([], {"a" * 101: "x"}, "is not text of 1 to 100 characters"),
        ([], {"a": "x" * 1001}, "`labels['a']`: expected text of at most 1,000 characters, not 1,001 characters"),
        ([], {"a": "\udce9"}, "no request has '\\udce9', which is not UTF-8"),
        ([], {"\udce9": "a"}, "no request has '\\udce9', which is not UTF-8"),
        ([], {str(n): "" for n in range(65)}, "`labels`: expected an object of at most 64 entries"),
    ],
)
def test_what_no_request_can_have_is_refused(topic, ids: list[str], labels: dict[str, str], problem: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        cancel(SETTINGS, ids, labels, ManualClock())
    assert problem in str(refused.value)
    assert not topic


def test_a_cancellation_that_expires_at_once_is_refused(topic: dict[str, Cancellation]) -> None:
    with pytest.raises(InvalidOption, match="calls nothing off"):
        cancel(SETTINGS, ["a"], {}, ManualClock(), timedelta(0))
    assert not topic

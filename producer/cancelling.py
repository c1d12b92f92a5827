"""Call requests off, list what is called off, and withdraw cancellations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone

from cutstream.clock import Clock
from cutstream.contract.cancellations import Cancellation, apply, check_request_names, encode, key_of
from cutstream.errors import InvalidOption
from cutstream.settings import KafkaSettings
from producer.entries import NothingFound, read_entries, write_entries

DEFAULT_AGE = timedelta(days=7)


def cancel(
    settings: KafkaSettings, ids: Sequence[str], labels: Mapping[str, str], clock: Clock, age: timedelta = DEFAULT_AGE
) -> datetime:
    """Call off the requests with these ids, or those with all of these labels, that were written before now.

    Return that time, which is of this machine's clock. Cancellations are ignored after `age`. Those that have expired
    are removed from the topic. Raises NoTopic, and InvalidOption for what no request can have.
    """
    _check(ids, labels)
    check_request_names(ids, labels)
    if age <= timedelta(0):
        raise InvalidOption("a cancellation that expires at once calls nothing off: give a longer time, such as 7d")
    now = _now(clock)
    expired = [key for key, entry in _read(settings).items() if entry.expires <= now]
    targets: list[tuple[str | None, Mapping[str, str]]] = [(id, {}) for id in ids] or [(None, labels)]
    records = {
        key_of(id, labels): encode(Cancellation(id=id, labels=dict(labels), cancelled=now, expires=now + age))
        for id, labels in targets
    }
    _write(settings, {**dict.fromkeys(expired), **records})
    return now


def undo(settings: KafkaSettings, ids: Sequence[str], labels: Mapping[str, str]) -> None:
    """Withdraw cancellations. Requests that have already ended as `cancelled` stay so.

    Raises InvalidOption, and NothingFound if there is no such cancellation.
    """
    _check(ids, labels)
    keys = [key_of(id, {}) for id in ids] or [key_of(None, labels)]
    if unknown := sorted(set(keys) - _read(settings).keys()):
        raise NothingFound(
            f"there is no cancellation for {', '.join(unknown)}; `cutstream cancel list` shows all, and `undo` takes "
            "the same ids or labels"
        )
    _write(settings, dict.fromkeys(keys))


def list_cancellations(settings: KafkaSettings, clock: Clock) -> list[Cancellation]:
    """Return the cancellations that have not expired, the oldest first. Raises NoTopic."""
    now = _now(clock)
    return sorted((entry for entry in _read(settings).values() if entry.expires > now), key=lambda e: e.cancelled)


def read_ids(lines: Iterable[str]) -> list[str]:
    """Return the ids in lines as `cutstream submit` prints them: what precedes a tab. Empty lines are skipped."""
    return [id for id in (line.partition("\t")[0].strip() for line in lines) if id]


def _check(ids: Sequence[str], labels: Mapping[str, str]) -> None:
    if bool(ids) == bool(labels):
        raise InvalidOption("name the requests either by their ids or by their labels, one of which may be the batch")


def _read(settings: KafkaSettings) -> dict[str, Cancellation]:
    return read_entries(settings, settings.cancellations_topic, apply)


def _write(settings: KafkaSettings, records: Mapping[str, bytes | None]) -> None:
    write_entries(settings, settings.cancellations_topic, records)


def _now(clock: Clock) -> datetime:
    return datetime.fromtimestamp(clock.wall(), timezone.utc)

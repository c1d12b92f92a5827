"""The headers of a request that is delivered again: from the retry topic, or replayed from the dead letters.

The record's value stays untouched. The headers say where the request was first written, so that it keeps its id and
its result names its origin, and how often it has been tried.

They are believed on the retry topic only, where workers and operators write: a requester could claim the origin and the
replays of another's request (`as_first_written` in consumer/jobs.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cutstream.contract.envelope import Headers
from cutstream.contract.messages import MAX_REPLAY, SourceRecord
from cutstream.errors import InvalidRequest

PREFIX = "__cutstream.delivery."

_NUMBERS = ("partition", "offset", "timestamp", "attempts", "not-before", "replay", "untried")
_RANGE = 0, 2**63 - 1
_RANGES = {"timestamp": (-1, _RANGE[1]), "replay": (0, MAX_REPLAY)}
_TOPIC = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")  # what Kafka accepts


@dataclass(frozen=True, slots=True)
class Redelivery:
    """The history of a request that is delivered again.

    `origin` is its first record. `attempts` counts the attempts before this delivery, of this replay, and
    `untried` the deliveries at which its source was not tried. The request is not due before `not_before_ms`, in
    milliseconds since the Unix epoch. `replay` counts the replays by
    `cutstream dead-letters replay`.
    """

    origin: SourceRecord
    attempts: int = 0
    not_before_ms: int = 0
    replay: int = 0
    untried: int = 0


def read_redelivery(headers: Headers) -> Redelivery | None:
    """Return the history that the headers tell, or None for a first delivery. Raises InvalidRequest."""
    named = {name.removeprefix(PREFIX): value for name, value in headers if name.startswith(PREFIX)}
    if not named:
        return None
    try:
        topic = (named["topic"] or b"").decode()
        if not _TOPIC.fullmatch(topic):
            raise ValueError("not the name of a topic")
        # A record may be without a timestamp, which Kafka writes as -1.
        # Those that are delivered as older releases wrote them have no `untried`.
        numbers = {name: _number({"untried": b"0", **named}[name], *_RANGES.get(name, _RANGE)) for name in _NUMBERS}
    except (KeyError, TypeError, ValueError) as exc:  # a header may have no value
        raise InvalidRequest(f"the headers {PREFIX}* are the worker's own; leave them out ({exc!r})") from exc
    return Redelivery(
        SourceRecord(
            topic=topic,
            partition=numbers["partition"],
            offset=numbers["offset"],
            timestamp_ms=numbers["timestamp"],
        ),
        attempts=numbers["attempts"],
        not_before_ms=numbers["not-before"],
        replay=numbers["replay"],
        untried=numbers["untried"],
    )


def not_before_ms(headers: Headers) -> int:
    """Return when a record is due, in milliseconds since the Unix epoch: 0, which is at once, unless it says so."""
    try:
        redelivery = read_redelivery(headers)
    except InvalidRequest:
        return 0
    return redelivery.not_before_ms if redelivery else 0


def redelivery_headers(headers: Headers, redelivery: Redelivery) -> Headers:
    """Return the record's headers with this history in place of an earlier one."""
    origin = redelivery.origin
    history = {
        "topic": origin.topic,
        "partition": origin.partition,
        "offset": origin.offset,
        "timestamp": origin.timestamp_ms,
        "attempts": redelivery.attempts,
        "not-before": redelivery.not_before_ms,
        "replay": redelivery.replay,
        "untried": redelivery.untried,
    }
    return without_redelivery(headers) + [(PREFIX + name, str(value).encode()) for name, value in history.items()]


def without_redelivery(headers: Headers) -> Headers:
    """Return the headers as the request was first written with them."""
    return [(name, value) for name, value in headers if not name.startswith(PREFIX)]


def _number(text: bytes, least: int, most: int) -> int:
    number = int(text)
    if not least <= number <= most:
        raise ValueError(f"{number} is out of range")
    return number

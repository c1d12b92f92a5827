from __future__ import annotations

from dataclasses import replace

import pytest

from cutstream.contract.messages import SourceRecord
from cutstream.contract.redelivery import (
    PREFIX,
    Redelivery,
    not_before_ms,
    read_redelivery,
    redelivery_headers,
    without_redelivery,
)
from cutstream.errors import InvalidRequest

ORIGIN = SourceRecord(topic="cutout.requests", partition=3, offset=41, timestamp_ms=1_700_000_000_000)
HISTORY = Redelivery(ORIGIN, attempts=3, not_before_ms=1_700_000_060_000, replay=1, untried=2)


def test_a_first_delivery_has_no_history() -> None:
    assert read_redelivery([("tenant", b"acme")]) is None
    assert not_before_ms([("tenant", b"acme")]) == 0


def test_the_history_travels_in_the_headers_beside_the_others() -> None:
    headers = redelivery_headers([("tenant", b"acme")], HISTORY)
    assert headers[0] == ("tenant", b"acme")
    assert read_redelivery(headers) == HISTORY
    assert not_before_ms(headers) == HISTORY.not_before_ms
    assert without_redelivery(headers) == [("tenant", b"acme")]


def test_the_history_of_an_older_release_does_not_count_what_was_not_tried() -> None:
    headers = [(name, value) for name, value in redelivery_headers([], HISTORY) if name != PREFIX + "untried"]
    assert read_redelivery(headers) == replace(HISTORY, untried=0)


def test_a_later_history_replaces_an_earlier_one() -> None:
    later = Redelivery(ORIGIN, attempts=6)
    headers = redelivery_headers(redelivery_headers([], HISTORY), later)
    assert read_redelivery(headers) == later
    assert len({name for name, _ in headers}) == len(headers)


@pytest.mark.parametrize(
    "headers",
    [
        [(PREFIX + "replay", b"1")],
        [*redelivery_headers([], HISTORY), (PREFIX + "attempts", b"many")],
        [*redelivery_headers([], HISTORY), (PREFIX + "not-before", b"-1")],
        [*redelivery_headers([], HISTORY), (PREFIX + "topic", b"\xff")],
        [*redelivery_headers([], HISTORY), (PREFIX + "topic", b"../../etc")],
        [*redelivery_headers([], HISTORY), (PREFIX + "topic", b"..")],
        [*redelivery_headers([], HISTORY), (PREFIX + "topic", b"t" * 250)],
        [*redelivery_headers([], HISTORY), (PREFIX + "replay", b"1000001")],
    ],
)
def test_malformed_history_is_refused_and_due_at_once(headers) -> None:
    with pytest.raises(InvalidRequest, match=r"__cutstream\.delivery"):
        read_redelivery(headers)
    assert not_before_ms(headers) == 0

"""Ages and times on the command line."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from commands.labels import parse_labels
from commands.times import parse_age, parse_time
from cutstream.errors import InvalidOption

NOW = datetime(2030, 1, 31, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("2h", NOW - timedelta(hours=2)),
        ("7d", NOW - timedelta(days=7)),
        ("2030-01-31", NOW - timedelta(hours=12)),
        ("2030-01-31T12:00:00Z", NOW),
        ("2030-01-31T13:00+01:00", NOW),
    ],
)
def test_a_time_is_an_age_or_iso_8601(text: str, time: datetime) -> None:
    assert parse_time(text, NOW) == time


@pytest.mark.parametrize("text", ["", "7", "h", "2 weeks", "yesterday", "-2h", "٣h", "1.5h"])
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption, match="neither an age such as 2h"):
        parse_time(text, NOW)
    with pytest.raises(InvalidOption, match="is not an age"):
        parse_age(text)


def test_an_age_beyond_the_calendar_is_refused() -> None:
    assert parse_time("36500d", NOW) == NOW - timedelta(days=36_500)
    for parse in (parse_age, lambda text: parse_time(text, NOW)):
        for long in ("36501d", "999999d", "99999999d", "9" * 99 + "s", "876001h"):
            with pytest.raises(InvalidOption, match=f"'{long}' is too long: an age is at most 36500d"):
                parse(long)


def test_labels() -> None:
    assert parse_labels(["tenant=shop", "note=a=b", "empty="]) == {"tenant": "shop", "note": "a=b", "empty": ""}
    with pytest.raises(InvalidOption, match="use NAME=VALUE"):
        parse_labels(["tenant"])
    with pytest.raises(InvalidOption, match="one value for each label"):
        parse_labels(["tenant=a", "tenant=b"])

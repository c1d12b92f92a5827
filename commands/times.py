"""The times and ages that options take."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from cutstream.errors import InvalidOption

_AGE = re.compile(r"([0-9]{1,100})([smhd])")
_LONGEST = timedelta(days=36_500)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def parse_age(text: str) -> timedelta:
    """Parse an age such as `90s`, `15m`, `2h` or `7d`. Raises InvalidOption."""
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise InvalidOption(f"{text!r} is not an age: use a number and s, m, h or d, such as 2h or 7d")
    seconds = int(match[1]) * _SECONDS[match[2]]
    if seconds > _LONGEST.total_seconds():
        raise InvalidOption(f"{text!r} is too long: an age is at most {_LONGEST.days}d")
    return timedelta(seconds=seconds)


def parse_time(text: str, now: datetime) -> datetime:
    """Parse an age before `now`, or an ISO 8601 time, which without an offset is in UTC. Raises InvalidOption."""
    if _AGE.fullmatch(text.strip()):
        return now - parse_age(text)
    try:
        time = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        raise InvalidOption(
            f"{text!r} is neither an age such as 2h or 7d nor a time such as 2030-01-31T12:00:00Z"
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)

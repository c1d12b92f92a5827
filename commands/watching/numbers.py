"""Numbers for people, all of bounded length: a worker may answer anything. The page's format.js says the same."""

from __future__ import annotations

from math import inf

UNKNOWN = "–"
_MOST = 1e9


def number(value: float | None) -> str:
    """Return a count with its thousands apart."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}" if abs(value) < _MOST else "≥ 10⁹"


def rate(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:,.1f}/s" if abs(value) < _MOST else "≥ 10⁹/s"


def drain(value: float | None) -> str:
    return "never" if value == inf else seconds(value)


def seconds(value: float | None) -> str:
    """Return a time with two or three digits and its unit."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return "0 s"
    for limit, unit, size in ((1.0, "ms", 0.001), (120.0, "s", 1.0), (7200.0, "min", 60.0), (172_800.0, "h", 3600.0)):
        if value < limit:
            shown = value / size
            return f"{shown:.1f} {unit}" if unit != "ms" and shown < 10 else f"{shown:.0f} {unit}"
    return f"{number(value / 86_400)} d"

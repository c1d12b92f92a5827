"""Steps of a calculation that a person can follow: each is named, shown with its numbers, and rounded as shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import floor, log10

_DIGITS = 4


@dataclass(frozen=True)
class Step:
    """`formula` is written with numbers, + − × ÷, parentheses, min( ), max( ), ln( ), and ⌈ ⌉ for rounding up.

    It is empty for a number that was given or measured. `note` says where that comes from, or why the step is taken.
    """

    key: str
    what: str
    value: float
    unit: str = ""
    formula: str = ""
    note: str = ""


class Sheet:
    """Collects steps by section. What later steps calculate with is what is shown: whoever checks it gets the same."""

    def __init__(self) -> None:
        self._sections: list[tuple[str, list[Step]]] = []

    def section(self, title: str) -> None:
        self._sections.append((title, []))

    def add(self, key: str, what: str, value: float, unit: str = "", formula: str = "", note: str = "") -> float:
        """Add a step and return its value, rounded as it is shown."""
        rounded = rounded_as_shown(value)
        self._sections[-1][1].append(Step(key, what, rounded, unit, formula, note))
        return rounded

    def __iter__(self) -> Iterator[tuple[str, list[Step]]]:
        return iter(self._sections)

    def values(self) -> dict[str, float]:
        """Return the value of each step, by its key."""
        return {step.key: step.value for _, steps in self._sections for step in steps}


def rounded_as_shown(value: float) -> float:
    """Return the value with four significant digits, and no fraction from 1,000 on."""
    if value == int(value):
        return float(value)
    return round(value, _decimals(value))


def show(value: float) -> str:
    """Write a number in full, with commas between thousands, as the steps round it."""
    value = rounded_as_shown(value)
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.{_decimals(value)}f}".rstrip("0")


def _decimals(value: float) -> int:
    return max(0, _DIGITS - 1 - floor(log10(abs(value))))

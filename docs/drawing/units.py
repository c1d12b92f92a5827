"""Numbers as Grafana writes them, in the units that the dashboards use."""

from __future__ import annotations

import math
from collections.abc import Sequence

_TIMES = ((1e-6, "µs"), (1e-3, "ms"), (1.0, "s"), (60.0, "min"), (3600.0, "h"), (86400.0, "d"))
_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")
_SUFFIXES = {"reqps": " req/s", "ops": " ops/s", "pixel": " px"}


def show(value: float, unit: str, decimals: int | None = None) -> str:
    """Return a number with its unit, scaled to a fitting one."""
    match unit:
        case "s":
            factor, name = max((each for each in _TIMES if each[0] <= abs(value)), default=(1.0, "s"))
            return f"{_digits(value / factor, decimals)} {name}"
        case "percentunit":
            return f"{_digits(value * 100, decimals)}%"
        case "bytes" | "Bps":
            return _scaled(value, 1024, _BYTES, decimals) + ("/s" if unit == "Bps" else "")
        case "currencyUSD":
            return f"${_digits(value, decimals)}"
        case "none":
            return _digits(value, decimals)
        case _:
            return _scaled(value, 1000, ("", "K", "Mil", "Bil"), decimals).rstrip() + _SUFFIXES.get(unit, "")


def _scaled(value: float, base: int, names: Sequence[str], decimals: int | None) -> str:
    step = 0
    while abs(value) >= base and step < len(names) - 1:
        value, step = value / base, step + 1
    return f"{_digits(value, decimals if step == 0 else None)} {names[step]}"


def _digits(value: float, decimals: int | None) -> str:
    """Return three significant digits, or so many decimals."""
    if decimals is None:
        magnitude = math.floor(math.log10(abs(value))) if value else 0
        decimals = min(6, max(0, 2 - magnitude))
        return f"{value:.{decimals}f}".rstrip("0").rstrip(".") if decimals else f"{value:.0f}"
    return f"{value:.{decimals}f}"

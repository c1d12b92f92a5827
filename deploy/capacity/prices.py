"""Prices, from a TOML file of the user's own."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path

from cutstream.errors import InvalidOption

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXAMPLE = Path(__file__).with_name("example-prices.toml")


@dataclass(frozen=True)
class Prices:
    """Prices in `currency`: of a core and a GPU for an hour, a gigabyte stored for a month, 1,000 requests to the
    object store, and a gigabyte that leaves it for the internet."""

    currency: str
    core_hour: float
    gpu_hour: float
    storage_gb_month: float
    requests_1000: float
    egress_gb: float


def read_prices(file: Path) -> Prices:
    """Read a file of prices. Raises InvalidOption, which names what is missing, unknown or no price."""
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as exc:
        raise InvalidOption(f"--prices {file}: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise InvalidOption(f"--prices {file} is not TOML: {exc}") from exc
    names = [field.name for field in fields(Prices)]
    if set(tree) != set(names):
        problems = [f"{name} is missing" for name in names if name not in tree]
        problems += [f"{name} is unknown" for name in tree if name not in names]
        raise InvalidOption(f"--prices {file}: {', '.join(problems)}. {EXAMPLE.name} in docs/scaling.md has all names")
    for name in names[1:]:
        if isinstance(tree[name], bool) or not isinstance(tree[name], int | float) or not 0 <= tree[name] < 1e9:
            raise InvalidOption(f"--prices {file}: {name} = {tree[name]!r} must be a number of 0 or more")
    return Prices(str(tree["currency"]), *(float(tree[name]) for name in names[1:]))

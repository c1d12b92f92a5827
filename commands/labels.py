"""Labels on the command line."""

from __future__ import annotations

from collections.abc import Iterable

from cutstream.errors import InvalidOption


def parse_labels(texts: Iterable[str]) -> dict[str, str]:
    """Parse labels of the form NAME=VALUE. Raises InvalidOption."""
    labels: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InvalidOption(f"--label {text!r}: use NAME=VALUE, such as tenant=shop")
        if labels.setdefault(name, value) != value:
            raise InvalidOption(f"--label {name}: a request has one value for each label")
    return labels

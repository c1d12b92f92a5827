"""Values that requesters spell in several ways: how the decoder understands them, and how the JSON Schema states them.

JSON Schema counts `90.0` as a whole number, and many languages know no other numbers. A format is often written as the
extension of its files, or in capitals. A time may have an offset without a colon, as `strftime` writes it. Nothing else
is respelled: the other names are our own, and there is one way to write them.
"""

from __future__ import annotations

from typing import Any

_LARGEST_EXACT = 2**53  # above it, a float does not say which whole number is meant

_FORMATS = ("auto", "png", "webp", "jpeg", "zip")
FORMAT_SPELLINGS: dict[str, str] = {
    **{name.upper(): name for name in _FORMATS},
    "jpg": "jpeg",
    "JPG": "jpeg",
    "WebP": "webp",
}

_DATE = (
    r"(?!0000)(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    r"|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
)
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
TIME_PATTERN = (
    # The last half microsecond of the year 9999 would be rounded into the next.
    rf"^(?!9999-12-31.23:59:59\.999999[5-9]){_DATE}[Tt ]{_CLOCK}:[0-5][0-9](?:\.[0-9]+)?"
    rf"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9])(?!\n)$"
)


def respell(fields: Any) -> Any:
    """Return the fields of a request, as plain values, in the spelling that the decoder takes."""
    if not isinstance(fields, dict):
        return fields
    fields = _with_whole_numbers(fields)
    format = fields.get("format")
    if isinstance(format, str):
        fields["format"] = FORMAT_SPELLINGS.get(format, format)
    return fields


def state_spellings(node: Any, name: str = "") -> Any:
    """Return a JSON Schema that allows the spellings as well. `name` is the field that `node` describes."""
    if isinstance(node, list):
        return [state_spellings(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("format") == "date-time":
        return {**{key: value for key, value in node.items() if key != "format"}, "pattern": TIME_PATTERN}
    if name == "format" and "enum" in node:
        return {**node, "enum": [*node["enum"], *sorted(FORMAT_SPELLINGS)]}
    return {key: state_spellings(value, key) for key, value in node.items()}


def _with_whole_numbers(value: Any) -> Any:
    """Replace numbers such as 90.0 by the whole numbers that they are."""
    match value:
        case dict():
            return {key: _with_whole_numbers(item) for key, item in value.items()}
        case list():
            return [_with_whole_numbers(item) for item in value]
        case float() if value.is_integer() and abs(value) <= _LARGEST_EXACT:
            return int(value)
    return value

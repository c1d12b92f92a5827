"""Text that strangers wrote, made safe to be shown in a terminal.

A request's fields end up in results, dead letters, messages and logs. An escape sequence among them could rewrite what
an operator sees, or worse; a mark of direction could turn it round.
"""

from __future__ import annotations

import re

# Control characters without tab and newline, marks of direction, line separators, halves of surrogate pairs.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Return the text with each unsafe character as `\uXXXX`, which also leaves JSON valid. Newlines stay."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)

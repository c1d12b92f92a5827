"""Text that strangers wrote, made safe to be shown in a terminal.

A request's fields end up in results, dead letters, messages and logs. An escape sequence among them could rewrite what
an operator sees, or worse; a mark of direction could turn it round; what shows nothing could make two ids look alike.
"""

from __future__ import annotations

import re
import unicodedata

_OTHER_THAN_ASCII = re.compile("[^\t\n\x20-\x7e]")
# What Unicode counts as letters, marks and symbols, and yet shows nothing: fillers, blanks and variation selectors.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U0001d159\U000e0100-\U000e01ef]"
)


def printable(text: str) -> str:
    r"""Return the text with each character that shows nothing or steers what is shown as `\uXXXX`, or as two of these.

    That leaves JSON valid. Tabs, newlines and spaces of all widths stay. The joiners inside emoji and inside words of
    some scripts do not.
    """
    return _OTHER_THAN_ASCII.sub(lambda match: _shown(match[0]), text)


def one_line(text: str) -> str:
    r"""Return text that is safe for a terminal, with `\n` for a new line: it cannot pretend to be two messages."""
    return printable(text).replace("\n", "\\n")


def _shown(character: str) -> str:
    # Not printable are controls, formats, halves of surrogate pairs, private and unassigned ones, and separators.
    is_visible = character.isprintable() or unicodedata.category(character) == "Zs"
    if is_visible and not _BLANK.match(character):
        return character
    return re.sub("....", r"\\u\g<0>", character.encode("utf-16-be", "surrogatepass").hex())

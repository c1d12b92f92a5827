"""Hide what a text must not show: the users, passwords and queries of addresses."""

from __future__ import annotations

import re

# scheme://user:password@, user:password@ and ?query. A password may hold spaces and an @: the last @ of a line ends it.
_SECRET_PARTS = re.compile(
    r"([a-z0-9+.-]+://)[^\n…]+(?=@)|[^\s=,'\"/@:]+:(?![/\s])[^\n…]*(?=@)|(?<=\?)[^\s'\"]+", re.IGNORECASE
)


def redact(text: str) -> str:
    """Return a text, such as a message that quotes an address, with `…` for the secrets that addresses in it may hold.

    Do this before the text is cut: a password whose @ is missing cannot be told from other words.
    """
    return _SECRET_PARTS.sub(lambda part: f"{part[1] or ''}…", text)

"""The addresses in a request: of its photo, its background and its destination."""

from __future__ import annotations

import re

from cutstream.errors import InvalidOption, Poison, RefusedAddress, RefusedDestination

_LINE_BREAKS_AND_TABS = "\t\n\v\f\r"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ERRORS: dict[str, type[Poison]] = {"image": RefusedAddress, "destination": RefusedDestination}
_IN_A_BUCKET = re.compile(r"\s*(s3|gs|az)://", re.IGNORECASE)


def parse_address(text: str, field: str) -> str:
    """Return an address without the white space around it, which copying and reading lines of a file leave behind.

    Spaces after an address in a bucket stay: its key is literal and may end in one. Raises RefusedAddress, for the
    destination RefusedDestination, and for the background InvalidOption, if nothing is left or a control character is.
    """
    spaces_behind = "" if _IN_A_BUCKET.match(text) else " "
    address = text.lstrip(f"{_LINE_BREAKS_AND_TABS} ").rstrip(_LINE_BREAKS_AND_TABS + spaces_behind)
    error = _ERRORS.get(field, InvalidOption)
    if not address:
        raise error(f"`{field}` is blank")
    if control := _CONTROL.search(address):
        raise error(f"`{field}` contains the control character U+{ord(control[0]):04X}")
    return address

"""The addresses in a request: of its photo, its background and its destination."""

from __future__ import annotations

import re

from cutstream.errors import InvalidOption, Poison, RefusedAddress, RefusedDestination
from cutstream.redaction import redact

_LINE_BREAKS_AND_TABS = "\t\n\v\f\r"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LOCATION = re.compile(r"([a-z0-9+.-]+)://([^/?#]*)", re.IGNORECASE)
_HOST = re.compile(r"\[[0-9a-f:.]+\](:\d*)?|[^\[\]:@\\]*(:\d*)?", re.IGNORECASE)
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


def show_address(address: str) -> str:
    """Return an address as results show it, with `…` for its user, its password and its query: they may be secret.

    An @ in the path of a well-formed address, as in `icon@2x.png`, hides nothing.
    """
    location = _LOCATION.match(address)
    if location is None or not _HOST.fullmatch(location[2]):
        address = redact(address)
    elif location[1].lower() in ("http", "https"):
        address = address.partition("#")[0]  # a fragment is never sent, and some sites keep their tokens there
    visible, mark, _ = address.partition("?")
    return f"{visible}{mark}…" if mark else visible

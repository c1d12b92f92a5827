"""Where pictures come from, in one spelling, so that failures with one cause are counted once."""

from __future__ import annotations

import posixpath
import re
import socket
from ipaddress import ip_address
from urllib.parse import unquote

_ADDRESS = re.compile(r"(?P<scheme>[^:/]*)://(?P<authority>[^\\/?#]*)(?P<rest>.*)", re.DOTALL)


def place_of(address: str) -> str:
    """Return the host or bucket of an address: `http://host`, `s3://bucket`, `file://`. A name is its own place.

    One host is one place, whatever the scheme, the port and the user are.
    """
    parts = _ADDRESS.fullmatch(address)
    if parts is None:
        return address
    scheme = parts["scheme"].lower()
    if scheme == "file":
        return "file://"
    if scheme in ("http", "https"):
        return f"http://{_host(parts['authority'])}"
    return f"{scheme}://{parts['authority'].lower()}"


def picture_of(address: str) -> str:
    """Return the address of a picture in one spelling: its place, a plain path and its query, without a fragment."""
    parts = _ADDRESS.fullmatch(address)
    if parts is None:
        return address
    place, path, query = place_of(address), parts["rest"], ""
    if place.startswith("http://"):
        path, mark, values = path.partition("#")[0].partition("?")
        query = mark + values
    return place + posixpath.normpath("/" + unquote(path).lstrip("/")) + query


def _host(authority: str) -> str:
    host = unquote(authority.rpartition("@")[2]).lower()
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0].rstrip(".")
    try:
        return str(ip_address(name))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(name))  # the resolver accepts `127.1` and `0x7f000001`, too
    except (OSError, UnicodeError, ValueError):
        return name

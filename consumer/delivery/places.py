"""Where pictures come from, in one spelling, so that failures with one cause are counted once."""

from __future__ import annotations

import posixpath
import re
import socket
from ipaddress import ip_address
from urllib.parse import unquote

_PORT = re.compile(r":\d+$")
_ADDRESS = re.compile(r"(?P<scheme>[^:/]*)://(?P<authority>[^\\/?#]*)(?P<rest>.*)", re.DOTALL)


def place_of(address: str) -> str:
    """Return the host or bucket of an address: `http://host`, `s3://bucket`, `file://`. A name is its own place.

    One host and port is one place, whoever the user is, and http and https with their usual ports are the same.
    """
    parts = _ADDRESS.fullmatch(address)
    if parts is None:
        return address
    scheme = parts["scheme"].lower()
    if scheme == "file":
        return "file://"
    if scheme in ("http", "https"):
        return f"http://{_host(parts['authority'])}{_port(parts['authority'], scheme)}"
    return f"{scheme}://{parts['authority'].lower()}"


def host_of_place(place: str) -> str:
    """Return a place without its port: one machine may listen on many. A bucket is its own host."""
    return _PORT.sub("", place) if place.startswith("http://") else place


def domain_of(place: str) -> str:
    """Return the last two labels of a host's name, which the hosts of one owner have in common.

    All IP addresses are one domain, and so are the names below `co.uk` or a cloud's own.
    """
    name = host_of_place(place).partition("://")[2]
    if name.startswith("[") or name.replace(".", "").isdecimal():
        return "IP addresses"
    return ".".join(name.split(".")[-2:])


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


def _port(authority: str, scheme: str) -> str:
    """Return `:port`, or nothing for the scheme's usual one."""
    port = authority.rpartition("@")[2].rpartition("]")[2].partition(":")[2].lstrip("0")
    return "" if port in ("", "80" if scheme == "http" else "443") else f":{port}"


def _host(authority: str) -> str:
    host = unquote(authority.rpartition("@")[2]).lower()
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0].rstrip(".")
    try:
        address = ip_address(name)
        return f"[{address}]" if address.version == 6 else str(address)
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(name))  # the resolver accepts `127.1` and `0x7f000001`, too
    except (OSError, UnicodeError, ValueError):
        return name

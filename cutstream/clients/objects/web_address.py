"""Take an http(s) address apart without changing what is sent: signatures are made over the very bytes.

Libraries normalise a path (`%2f` becomes `%2F`, `/a/../b` becomes `/b`), after which a signed address is refused or
names another file. Here only what no request line can carry is percent-encoded: spaces, letters beyond ASCII and
the few other characters that RFC 3986 forbids.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

import idna

from cutstream.errors import RefusedAddress

_ADDRESS = re.compile(r"(https?)://([^/?#\\]*)([^#]*)", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::(\d{0,5}))?", re.ASCII)
_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")  # a dot at the end makes a name absolute
# What browsers, and some resolvers, take for an IPv4 address: 127.1, 2130706433, 0x7f.1, 0177.0.0.1
_NUMBER_AT_THE_END = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)\.?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FORBIDDEN = re.compile(rb'[^!-~]|["<>\\^`{|}]')
_FORM = "the address must have the form http(s)://host[:port]/path"


@dataclass(frozen=True, slots=True)
class WebAddress:
    """An http(s) address. `host` is in ASCII, with its brackets if it is an IPv6 address.

    `target` is the path and the query as they are sent.
    """

    scheme: str
    host: str
    port: int | None
    target: str = field(repr=False)  # a query may be secret

    def __str__(self) -> str:
        """Return the address without its query, which may be secret."""
        path = self.target.partition("?")[0]
        return f"{self._origin}{path}"

    def follow(self, location: str) -> WebAddress:
        """Return where a redirect leads. Only a path without a slash in front is resolved; all others stay as they are.

        `location` is the header as http.client reads it, in Latin-1. Raises RefusedAddress.
        """
        location = location.encode("latin-1").decode("utf-8", "surrogateescape").strip(" \t")
        if _SCHEME.match(location):
            return parse_web_address(location)
        if location.startswith("//"):
            return parse_web_address(f"{self.scheme}:{location}")
        if location.startswith("/"):
            return parse_web_address(f"{self._origin}{location}")
        location = location.partition("#")[0]
        path, mark, query = self.target.partition("?")
        reference, new_mark, new_query = location.partition("?")
        if reference or new_mark:
            mark, query = new_mark, new_query
        path = _resolved(path, reference) if reference else path
        return parse_web_address(f"{self._origin}{path}{mark}{query}")

    @property
    def _origin(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


def parse_web_address(text: str) -> WebAddress:
    """Parse an address. Its fragment is dropped. Raises RefusedAddress, with a message that holds nothing secret."""
    if control := _CONTROL.search(text):
        raise RefusedAddress(f"the address contains the control character U+{ord(control[0]):04X}")
    parts = _ADDRESS.match(text.strip(" "))
    if parts is None:
        raise RefusedAddress(_FORM)
    scheme, authority, target = parts[1].lower(), parts[2], parts[3]
    if "@" in authority:
        raise RefusedAddress("an address must not contain a user name or password")
    host, port = _host_and_port(authority)
    if not target.startswith("/"):
        target = f"/{target}"
    return WebAddress(scheme, host, port, _encoded(target))


def _host_and_port(authority: str) -> tuple[str, int | None]:
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise RefusedAddress(_FORM)
    port = int(parts[2]) if parts[2] else None
    if port is not None and not 0 < port < 65536:
        raise RefusedAddress(f"{port} is not a port")
    return _host(parts[1]), port


def _host(text: str) -> str:
    """Return a host in ASCII and lower case; an international name is encoded by IDNA as browsers do (UTS 46)."""
    try:
        if text.startswith("["):
            return f"[{IPv6Address(text[1:-1])}]"
        name = text.lower() if text.isascii() else idna.encode(text, uts46=True).decode("ascii")
        if _NUMBER_AT_THE_END.fullmatch(name):
            return str(IPv4Address(name))  # refuses all but four decimal numbers: readers differ about the others
    except ValueError:  # what idna and ipaddress raise
        raise RefusedAddress(_FORM) from None
    if not _NAME.fullmatch(name) or len(name) > 254:
        raise RefusedAddress(_FORM)
    return name


def _resolved(base: str, reference: str) -> str:
    """Resolve a path without a slash in front, as RFC 3986 says in section 5.2."""
    segments = f"{base.rpartition('/')[0]}/{reference}".split("/")[1:]
    resolved: list[str] = []
    for segment in segments:
        if segment == "..":
            del resolved[-1:]
        elif segment != ".":
            resolved.append(segment)
    if segments[-1] in (".", ".."):
        resolved.append("")
    return "/" + "/".join(resolved)


def _encoded(target: str) -> str:
    raw = target.encode("utf-8", "surrogateescape")
    return _FORBIDDEN.sub(lambda found: b"%%%02X" % found[0][0], raw).decode("ascii")

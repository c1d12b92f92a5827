"""Resolve host names, as many at once as are asked for. The only module that imports pycares.

`getaddrinfo` takes no timeout and holds its thread for up to half a minute, so a few names that resolve slowly hold
up all others. c-ares asks for all names on one thread and ends each look-up by itself. It reads /etc/hosts, and the
servers, search domains and options of /etc/resolv.conf, also when they change; other sources that nsswitch.conf names
(mDNS, LDAP) are not asked.
"""

from __future__ import annotations

import atexit
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as LookupTimeout
from functools import cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, TypeAlias

from cutstream.errors import NoSuchHost, RefusedAddress, SourceUnavailable

if TYPE_CHECKING:
    import pycares

Address: TypeAlias = tuple[socket.AddressFamily, tuple[Any, ...]]  # family and sockaddr, as getaddrinfo gives them
Resolver: TypeAlias = Callable[[str, int, float], Sequence[Address]]
"""Return the addresses of a host and port, within a number of seconds. Raises as `look_up` does."""

# The first attempt waits as long as `_FIRST_WAIT_S`, or, once the server's speed is known, five times an answer and
# at least 0.25 s. Each further one waits longer. Together they end within 8 s at a fast server, and 31 s at any.
_FIRST_WAIT_S = 1.0
_ATTEMPTS = 5


def look_up(host: str, port: int, timeout_s: float) -> Sequence[Address]:
    """Resolve a host name, or take an IP address as it is. Thread-safe.

    Raises NoSuchHost, SourceUnavailable or RefusedAddress (no host name).
    """
    return _look_up(_system_channel, host, port, timeout_s)


def resolver(**options: Any) -> Resolver:
    """Return a resolver of its own: `options` are those of a channel of pycares, such as `servers`.

    pycares 5.2 frees `lookups` and `resolvconf_path` before it reads them: do not use these.
    """
    channel = cache(lambda: _channel(**options))
    return lambda host, port, timeout_s: _look_up(channel, host, port, timeout_s)


def _look_up(channel: Callable[[], pycares.Channel], host: str, port: int, timeout_s: float) -> Sequence[Address]:
    try:
        ip = ip_address(host)
    except ValueError:
        return _resolved(channel(), host, port, timeout_s)
    return [(socket.AF_INET, (host, port)) if ip.version == 4 else (socket.AF_INET6, (host, port, 0, 0))]


def _resolved(channel: pycares.Channel, host: str, port: int, timeout_s: float) -> Sequence[Address]:
    done: Future[tuple[Any, int | None]] = Future()
    channel.getaddrinfo(  # without the port, for which it would read /etc/services
        host, None, type=socket.SOCK_STREAM, callback=lambda found, error: done.set_result((found, error))
    )
    try:
        found, error = done.result(timeout_s)
    except LookupTimeout as exc:  # the look-up ends by itself, and holds no thread until then
        raise SourceUnavailable(f"{host}: the name was not resolved in time") from exc
    if error is not None:
        raise _error(host, error)
    return [(node.family, (node.addr[0].decode(), port, *node.addr[2:])) for node in found.nodes]


def _error(host: str, number: int) -> Exception:
    from pycares import errno

    if number == errno.ARES_EBADNAME:
        return RefusedAddress(f"{host} is not a host name")
    # A name that does not exist will not exist at the next attempt either. Other failures are temporary.
    error = NoSuchHost if number in (errno.ARES_ENOTFOUND, errno.ARES_ENODATA) else SourceUnavailable
    reason = errno.strerror(number)
    return error(f"{host}: {reason if isinstance(reason, str) else reason.decode()}")


@cache
def _system_channel() -> pycares.Channel:
    return _channel()


def _channel(**options: Any) -> pycares.Channel:
    # Only a worker that resolves names loads the library and starts its thread.
    import pycares

    try:
        channel = pycares.Channel(timeout=_FIRST_WAIT_S, tries=_ATTEMPTS, **options)
    except pycares.AresError as exc:  # without descriptors or memory, for instance
        raise SourceUnavailable(f"no host name can be resolved: {exc}") from exc
    atexit.register(channel.close)
    return channel

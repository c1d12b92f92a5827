"""Refuse http(s) sources on hosts or addresses that are not allowed. The check happens while connecting.

A name is resolved once, all its addresses are checked, and the connection goes to a checked address. There is no second
look-up that could answer differently. Redirects and pooled connections go the same way.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from ipaddress import IPv4Address, ip_address, ip_network
from time import monotonic
from typing import Any

from cutstream.clients.objects.names import Address, Resolver, look_up
from cutstream.errors import AddressNotAllowed, SourceUnavailable

# A name may have a thousand addresses. All are checked, and no more than these are tried: one request must not knock
# at a thousand doors.
_MOST_TRIED = 8
_UNLESS = "which CUTSTREAM_OBJECTS__ALLOW_PRIVATE_ADDRESSES does not allow"

# IANA's special-purpose registries, written out because `ipaddress.is_global` differs between Python versions.
_NOT_PUBLIC_V4 = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; the metadata service of Alibaba
        "127.0.0.0/8",
        "161.26.0.0/16",  # services inside of IBM's cloud, as is 166.8.0.0/14
        "166.8.0.0/14",
        "168.63.129.16/32",  # the platform of Azure: DNS, DHCP and the agent of each machine
        "169.254.0.0/16",  # link-local; the metadata services of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocols; the metadata service of Oracle
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)
# Everything outside 2000::/3 is refused: loopback, ULA, link-local, multicast, v4-mapped and v4-compatible addresses,
# local-use NAT64.
_GLOBAL_UNICAST = ip_network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    ip_network(network)
    for network in (
        "2001::/23",  # Teredo (an IPv4 address inside), benchmarking, ORCHID
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",
    )
)
# With DNS64 every IPv4-only host has such an address, so the IPv4 address inside decides. ISATAP is a tunnel to one.
_NAT64 = ip_network("64:ff9b::/96")
_ISATAP = 0x5EFE


def is_public(address: str) -> bool:
    """Return whether an IPv4 or IPv6 address, with or without a zone, belongs to the public internet."""
    ip = ip_address(address)
    if isinstance(ip, IPv4Address):
        return not any(ip in network for network in _NOT_PUBLIC_V4)
    inside = IPv4Address(int(ip) & 0xFFFFFFFF)
    if ip in _NAT64:
        return is_public(str(inside))
    if int(ip) >> 32 & 0xFDFFFFFF == _ISATAP and not is_public(str(inside)):
        return False
    return ip in _GLOBAL_UNICAST and not any(ip in network for network in _NOT_PUBLIC_V6)


def is_own(address: Address) -> bool:
    """Return whether an address is this machine's own, such as the public one of its network card. Sends nothing."""
    family, sockaddr = address
    with socket.socket(family, socket.SOCK_DGRAM) as unsent:
        try:
            unsent.connect(sockaddr)  # chooses a route, no more
        except OSError:
            return False  # no way leads there, as the connection will say
        return bool(unsent.getsockname()[0] == sockaddr[0])


class DeadlineSocket(socket.socket):
    """A socket whose timeout applies to all reads together: a server that drips bytes cannot prolong it."""

    _expires: float | None = None

    def settimeout(self, value: float | None) -> None:
        self._expires = None if value is None else monotonic() + value
        super().settimeout(value)

    def recv_into(self, *args: Any) -> int:
        if self._expires is not None:
            left = self._expires - monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            super().settimeout(left)
        return super().recv_into(*args)


class Guard:
    """The check of hosts and addresses. Thread-safe.

    Without `allowed_hosts` every public host is allowed. `*.example.org` allows the sub-domains of a host.
    """

    def __init__(self, allowed_hosts: Sequence[str], allow_private: bool, resolve: Resolver = look_up) -> None:
        self._hosts = tuple(host.lower() for host in allowed_hosts)
        self._allow_private = allow_private
        self._resolve = resolve

    def check(self, host: str) -> None:
        """Raise AddressNotAllowed for a host that is refused whatever it resolves to."""
        host = host.strip("[]")
        self._check_host(host)
        try:
            self._check_addresses(host, [(socket.AF_UNSPEC, (str(ip_address(host)),))])
        except ValueError:
            pass  # a name: its addresses are checked when connecting

    def connect(self, host: str, port: int, timeout_s: float) -> DeadlineSocket:
        """Connect to an allowed address of a host.

        Raises RefusedAddress, NoSuchHost or SourceUnavailable.
        """
        expires = monotonic() + timeout_s
        host = host.strip("[]")
        self._check_host(host)
        addresses = self._resolve(host, port, timeout_s)
        self._check_addresses(host, addresses)
        addresses = addresses[:_MOST_TRIED]
        if not self._allow_private and any(map(is_own, addresses)):
            raise AddressNotAllowed(f"{host} is this machine, {_UNLESS}")
        failure: OSError = TimeoutError("timed out")
        for tried, address in enumerate(addresses):
            # An address that never answers must leave time for the next one.
            share_s = (expires - monotonic()) / (len(addresses) - tried)
            try:
                return _dial(address, share_s, expires)
            except OSError as exc:
                failure = exc
        raise SourceUnavailable(f"{host}: cannot connect: {reason_of(failure)}") from failure

    def _check_host(self, host: str) -> None:
        name = host.rstrip(".").lower()
        if self._hosts and not any(_matches(name, pattern) for pattern in self._hosts):
            raise AddressNotAllowed(f"CUTSTREAM_OBJECTS__ALLOWED_HOSTS does not list {host}")

    def _check_addresses(self, host: str, addresses: Sequence[Address]) -> None:
        if self._allow_private:
            return
        for _, sockaddr in addresses:
            if not is_public(sockaddr[0]):
                raise AddressNotAllowed(f"{host} has an address outside the public internet, {_UNLESS}")


def reason_of(exc: BaseException) -> str:
    """Return what a message says about a failed connection, without the numbers and names of Python."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {exc.verify_message}"
    if isinstance(exc, ssl.SSLError) and exc.reason:
        return f"TLS failed: {exc.reason.replace('_', ' ').lower()}"
    said = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
    return (said or "the connection failed")[:300]


def _matches(name: str, pattern: str) -> bool:
    return name.endswith(pattern[1:]) if pattern.startswith("*.") else name == pattern


def _dial(address: Address, timeout_s: float, expires: float) -> DeadlineSocket:
    family, sockaddr = address
    sock = DeadlineSocket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(max(timeout_s, 0.001))
        sock.connect(sockaddr)
        sock.settimeout(max(expires - monotonic(), 0.001))
    except BaseException:
        sock.close()
        raise
    return sock

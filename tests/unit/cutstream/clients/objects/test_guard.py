from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutstream.clients.objects import guard as guard_module
from cutstream.clients.objects.guard import Guard, is_public
from cutstream.clients.objects.names import Address
from cutstream.errors import RefusedAddress, SourceUnavailable

PUBLIC_V4 = "93.184.216.34"


@pytest.mark.parametrize(
    "address",
    [
        PUBLIC_V4,
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.0.1",
        "172.32.0.1",
        "168.63.129.15",
        "2606:4700::1",
    ],
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "100.100.100.200",
        "161.26.0.10",
        "166.11.255.255",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "192.0.0.192",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "100::1",
        "2001:db8::1",
        "5f00::1",
    ],
)
def test_addresses_of_inner_networks_are_not(address: str) -> None:
    assert not is_public(address)


EMBEDDINGS: list[Callable[[int], int]] = [
    lambda v4: (0xFFFF << 32) | v4,  # ::ffff:0:0/96, mapped
    lambda v4: v4,  # ::/96, compatible
    lambda v4: (0x2002 << 112) | (v4 << 80),  # 6to4
    lambda v4: (0x20010000 << 96) | (v4 << 64),  # Teredo: its server
    lambda v4: (0x20010000 << 96) | (v4 ^ 0xFFFFFFFF),  # Teredo: its client, inverted
    lambda v4: (0x0064FF9B << 96) | v4,  # NAT64
    lambda v4: (0x0064FF9B0001 << 80) | v4,  # local-use NAT64
    lambda v4: (0xFFFF << 48) | v4,  # ::ffff:0:0:0/96, translated
    lambda v4: (0x2A000000 << 96) | (0x5EFE << 32) | v4,  # ISATAP
    lambda v4: (0x2A000000 << 96) | (0x02005EFE << 32) | v4,  # ISATAP, for an address that is unique
]


@pytest.mark.parametrize("embed", EMBEDDINGS)
@given(v4=st.ip_addresses(v=4))
def test_an_inner_address_inside_an_ipv6_address_is_seen(embed: Callable[[int], int], v4: IPv4Address) -> None:
    assert is_public(str(v4)) or not is_public(str(IPv6Address(embed(int(v4)))))


@given(st.ip_addresses().filter(lambda address: int(address) >> 32 != 0x0064FF9B << 64))  # NAT64 has its own test
def test_nothing_that_python_calls_private_is_public(address: IPv4Address | IPv6Address) -> None:
    special = address.is_private or address.is_multicast or address.is_reserved or address.is_link_local
    assert not (special and is_public(str(address)))


def test_a_host_behind_nat64_is_reachable() -> None:
    assert is_public(f"64:ff9b::{PUBLIC_V4}")
    assert is_public(f"2a00::5efe:{PUBLIC_V4}")


def answering(*addresses: str) -> Callable[[str, int, float], list[Address]]:
    return lambda _, port, timeout_s: [(socket.AF_INET, (address, port)) for address in addresses]


def test_one_inner_address_among_public_ones_refuses_the_name() -> None:
    guard = Guard((), False, answering(PUBLIC_V4, "10.0.0.1"))
    with pytest.raises(RefusedAddress, match=r"photos\.example has an address outside the public internet"):
        guard.connect("photos.example", 80, 1)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"])
def test_loopback_is_refused(host: str) -> None:
    with pytest.raises(RefusedAddress):
        Guard((), False).connect(host, 80, 5)


@pytest.mark.parametrize(
    "host", ["photos.example", "PHOTOS.example", "photos.example.", "a.cdn.example", "a.b.cdn.example"]
)
def test_listed_hosts_pass(host: str) -> None:
    guard = Guard(("Photos.example", "*.cdn.example"), False, answering("10.0.0.1"))
    with pytest.raises(RefusedAddress, match="public internet"):  # which is checked after the name
        guard.connect(host, 80, 1)


@pytest.mark.parametrize(
    "host", ["example", "cdn.example", "evilcdn.example", "photos.example.org", "x.photos.example"]
)
def test_other_hosts_are_refused_without_looking_them_up(host: str) -> None:
    def never(*_: object) -> list[Address]:
        raise AssertionError("looked up")

    with pytest.raises(RefusedAddress, match="ALLOWED_HOSTS"):
        Guard(("photos.example", "*.cdn.example"), False, never).connect(host, 80, 1)


def test_a_name_with_a_thousand_addresses_is_checked_whole_and_tried_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Any] = []

    def refusing(address: Any, *_: object) -> Any:
        tried.append(address)
        raise ConnectionRefusedError("Connection refused")

    monkeypatch.setattr(guard_module, "_dial", refusing)
    public = [f"93.184.{n // 250}.{n % 250}" for n in range(1000)]
    with pytest.raises(SourceUnavailable, match="Connection refused"):
        Guard((), False, answering(*public)).connect("photos.example", 80, 5)
    assert len(tried) == 8
    with pytest.raises(RefusedAddress, match="public internet"):
        Guard((), False, answering(*public, "10.0.0.1")).connect("photos.example", 80, 5)
    assert len(tried) == 8


def test_this_machine_is_refused_under_its_public_address_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_module, "is_public", lambda address: True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(RefusedAddress, match=r"photos\.example is this machine.*ALLOW_PRIVATE_ADDRESSES"):
            Guard((), False, answering("127.0.0.1")).connect("photos.example", port, 5)
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_the_next_address_is_tried_when_one_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        guard = Guard((), True, answering("127.0.0.2", "127.0.0.1"))
        with guard.connect("photos.example", port, 5) as sock:
            assert sock.getpeername() == ("127.0.0.1", port)


def test_nobody_listening_is_tried_again_later() -> None:
    with pytest.raises(SourceUnavailable, match="Connection refused"):
        Guard((), True, answering("127.0.0.1")).connect("photos.example", 9, 5)

"""Names, resolved by a real server on a UDP socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cutstream.clients.objects.names import Resolver, look_up, resolver
from cutstream.errors import CutstreamError, NoSuchHost, RefusedAddress, SourceUnavailable
from tests.support.dns_server import DnsServer, serving_names

ANSWERS = {
    "photos.example": ["93.184.216.34", "2606:4700::1"],
    "alias.example": ["inner.example"],
    "inner.example": ["10.0.0.1"],
    "shop.cluster.local": ["10.0.0.2"],
    "broken.example": [],
    "under_score.example": ["93.184.216.34"],
    **{f"good-{n}.example": ["93.184.216.34"] for n in range(20)},
}


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with serving_names(DnsServer(ANSWERS)) as running:
        yield running


@pytest.fixture
def resolve(server: DnsServer) -> Resolver:
    return resolver(servers=[f"127.0.0.1:{server.port}"], domains=["cluster.local"])


def found(resolve: Resolver, name: str) -> set[str]:
    return {sockaddr[0] for _, sockaddr in resolve(name, 443, 5)}


def test_a_name_has_the_addresses_of_both_kinds(resolve: Resolver) -> None:
    assert set(resolve("photos.example", 443, 5)) == {
        (socket.AF_INET, ("93.184.216.34", 443)),
        (socket.AF_INET6, ("2606:4700::1", 443, 0, 0)),
    }


def test_aliases_search_domains_and_the_hosts_file_count(resolve: Resolver) -> None:
    assert found(resolve, "alias.example") == {"10.0.0.1"}
    assert found(resolve, "shop") == {"10.0.0.2"}
    assert "127.0.0.1" in found(resolve, "localhost")


def test_names_with_few_dots_are_tried_below_the_search_domains_first(server: DnsServer) -> None:
    """As in a cluster, whose resolv.conf says `ndots:5`."""
    resolve = resolver(servers=[f"127.0.0.1:{server.port}"], domains=["svc.local", "cluster.local"], ndots=5)
    assert found(resolve, "shop") == {"10.0.0.2"}
    assert server.asked[0] == "shop.svc.local"
    assert found(resolve, "photos.example") == {"93.184.216.34", "2606:4700::1"}
    assert "photos.example.cluster.local" in server.asked
    assert found(resolve, "photos.example.") == {"93.184.216.34", "2606:4700::1"}


@pytest.mark.parametrize("address", ["127.0.0.1", "2606:4700::1"])
def test_an_address_is_taken_as_it_is(address: str) -> None:
    expected = socket.getaddrinfo(address, 80, type=socket.SOCK_STREAM)
    assert list(look_up(address, 80, 5)) == [(family, sockaddr) for family, *_, sockaddr in expected]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("missing.example", NoSuchHost, "Domain name not found"),
        ("broken.example", SourceUnavailable, "general failure"),
        ("a..b", RefusedAddress, "is not a host name"),
        ("x" * 70 + ".example", RefusedAddress, "is not a host name"),
    ],
)
def test_a_name_that_does_not_exist_is_told_from_one_that_may(
    resolve: Resolver, name: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(CutstreamError, match=message) as raised:
        resolve(name, 80, 5)
    assert type(raised.value) is error


@given(st.from_regex(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63}){0,4}\.?", fullmatch=True))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_an_address_may_name_has_addresses_or_a_named_error(resolve: Resolver, name: str) -> None:
    with suppress(NoSuchHost, RefusedAddress):
        assert resolve(name, 80, 5)


def test_an_underscore_is_part_of_a_name(resolve: Resolver) -> None:
    assert found(resolve, "under_score.example") == {"93.184.216.34"}


def test_names_that_resolve_slowly_hold_up_no_other_and_no_thread(server: DnsServer, resolve: Resolver) -> None:
    found(resolve, "photos.example")
    threads = threading.active_count()
    with ThreadPoolExecutor(200) as waiting:
        looked_up = [waiting.submit(resolve, f"{n}.silent.example", 80, 0.5) for n in range(200)]
        for slow in looked_up:
            with pytest.raises(SourceUnavailable, match="not resolved in time"):
                slow.result()
        started = monotonic()
        for n in range(20):
            assert found(resolve, f"good-{n}.example") == {"93.184.216.34"}
        assert monotonic() - started < 3  # 110 s with a pool of 16 threads
    assert sum(name.endswith("silent.example") for name in server.asked) >= 200
    assert threading.active_count() <= threads + 1


def test_a_look_up_ends_by_itself(server: DnsServer, resolve: Resolver) -> None:
    for n in range(3):  # then the server's speed is known
        found(resolve, f"good-{n}.example")
    started = monotonic()
    with pytest.raises(SourceUnavailable, match="Timeout"):
        resolve("silent.example", 80, 60)
    assert 1 < monotonic() - started < 30

"""Hosts for the servers of a test: network namespaces joined by a bridge, or else loopback addresses."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

PORT = 9092


class Hosts:
    """Gives each name a host with an address of its own. `enter(name)` is what a command on that host begins with."""

    can_cut = False

    def address(self, name: str) -> str:
        raise NotImplementedError

    def enter(self, name: str) -> list[str]:
        raise NotImplementedError


class LoopbackHosts(Hosts):
    """Addresses in 127.0.0.0/8. Nothing between two of them can be cut."""

    def __init__(self, names: list[str]) -> None:
        net = random.randrange(1, 255)
        self._addresses = {name: f"127.{net}.0.{number}" for number, name in enumerate(names, 10)}

    def address(self, name: str) -> str:
        return self._addresses[name]

    def enter(self, name: str) -> list[str]:
        return []


class NamespaceHosts(Hosts):
    """A network namespace for each name, with an Ethernet pair to a bridge that this machine is on, too."""

    can_cut = True

    def __init__(self, names: list[str]) -> None:
        self._id = f"cs{random.randrange(16**4):04x}"
        # 198.18.0.0/15 is reserved for tests between networks.
        self._net = f"198.18.{random.randrange(256)}"
        self._names = names

    def address(self, name: str) -> str:
        return f"{self._net}.{self._names.index(name) + 10}"

    def enter(self, name: str) -> list[str]:
        return ["ip", "netns", "exec", self._namespace(name)]

    def build(self) -> None:
        _ip("link", "add", self._id, "type", "bridge")
        _ip("addr", "add", f"{self._net}.1/24", "dev", self._id)
        _ip("link", "set", self._id, "up")
        for number, name in enumerate(self._names):
            namespace, outside = self._namespace(name), f"{self._id}p{number}"
            _ip("netns", "add", namespace)
            _ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", namespace)
            _ip("link", "set", outside, "master", self._id, "up")
            _ip("-n", namespace, "addr", "add", f"{self.address(name)}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", namespace, "link", "set", device, "up")

    def remove(self) -> None:
        for name in self._names:
            subprocess.run(["ip", "netns", "del", self._namespace(name)], capture_output=True)
        subprocess.run(["ip", "link", "del", self._id], capture_output=True)

    @contextmanager
    def unplugged(self, name: str) -> Iterator[None]:
        """Take a host off the network: nothing goes in or out, and nobody is told."""
        port = f"{self._id}p{self._names.index(name)}"
        _ip("link", "set", port, "down")
        try:
            yield
        finally:
            _ip("link", "set", port, "up")

    @contextmanager
    def deaf(self, name: str, to: str) -> Iterator[None]:
        """Drop all that host `to` would send to host `name`: its requests arrive, and it never sees the answers."""
        route = ("-n", self._namespace(to), "route")
        _ip(*route, "add", "blackhole", f"{self.address(name)}/32")
        try:
            yield
        finally:
            _ip(*route, "del", "blackhole", f"{self.address(name)}/32")

    def _namespace(self, name: str) -> str:
        return f"{self._id}-{name}"


@contextmanager
def hosts(names: list[str]) -> Iterator[Hosts]:
    """Yield namespaces where this user may make them, and loopback addresses otherwise."""
    if not (os.geteuid() == 0 and shutil.which("ip")):
        yield LoopbackHosts(names)
        return
    namespaces = NamespaceHosts(names)
    try:
        try:
            namespaces.build()
        except subprocess.CalledProcessError:  # a container that may not
            yield LoopbackHosts(names)
        else:
            yield namespaces
    finally:
        namespaces.remove()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)

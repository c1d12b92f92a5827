from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

STACK_PORTS = ("kafka_port", "kafka_controller_port", "triton_grpc_port", "triton_metrics_port")


def has_ipv6() -> bool:
    """Tell whether this machine has the loopback address of IPv6."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def free_stack_ports() -> dict[str, int]:
    """Return free ports for the servers of a stack, by their names in StackSettings."""
    return dict(zip(STACK_PORTS, free_ports(len(STACK_PORTS)), strict=True))


def free_ports(count: int) -> list[int]:
    """Return different ports of 127.0.0.1 on which nobody listens now."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for held_open in sockets:
            held_open.bind(("127.0.0.1", 0))
        return [held_open.getsockname()[1] for held_open in sockets]


@contextmanager
def never_answering() -> Iterator[int]:
    """Yield a port on all addresses of this machine that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen(1024)
        yield listener.getsockname()[1]

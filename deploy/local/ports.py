"""The ports of the local stack: all that are taken are named at once, or replaced for a stack of one command."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from cutstream.errors import StackError
from cutstream.settings import Settings, variable
from deploy.local.process import is_free


def check_stack_ports(settings: Settings, with_gateway: bool = False) -> None:
    """Raise StackError, which names every port that is taken, and one setting that moves them all."""
    taken = {name: port for name, port in _ports(settings, with_gateway).items() if not is_free(port)}
    if not taken:
        return
    listed = ", ".join(f"{port} ({variable(*name)})" for name, port in taken.items())
    raise StackError(
        f"in use: {listed}. Stop what uses them, perhaps another stack of yours, or move all ports of this one, for "
        "instance by CUTSTREAM_STACK__PORT_OFFSET=100, here and for the commands that use it"
    )


def with_free_ports(settings: Settings, keep: bool = True) -> Settings:
    """Return settings whose ports are free now: those that are taken are replaced, since nobody needs to know them.

    Without `keep`, all are: two commands that start at the same moment would find the same ones free.
    """
    ports = _ports(settings)
    taken = [name for name, port in ports.items() if not keep or not is_free(port)]
    replaced = dict(zip(taken, free_ports(len(taken)), strict=True))
    for section in ("stack", "worker", "page"):
        update = {name: port for (its_section, name), port in replaced.items() if its_section == section}
        part = getattr(settings, section).model_copy(update=update)
        settings = settings.model_copy(update={section: part})
    return settings


def _ports(settings: Settings, with_gateway: bool = False) -> dict[tuple[str, str], int]:
    stack, found = settings.stack, {("worker", "port"): settings.worker.port}
    if settings.page.enabled and settings.page_port:
        found["page", "port"] = settings.page_port
    if with_gateway:
        found["gateway", "port"] = settings.gateway.port
    if not settings.kafka.bootstrap_servers:
        found |= {("stack", name): getattr(stack, name) for name in ("kafka_port", "kafka_controller_port")}
    if not settings.triton.url:
        found |= {("stack", name): getattr(stack, name) for name in ("triton_grpc_port", "triton_metrics_port")}
    return found


def free_ports(count: int) -> list[int]:
    """Return different ports of 127.0.0.1 on which nobody listens now."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]

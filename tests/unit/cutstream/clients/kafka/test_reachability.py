"""The search for a broker that answers, with sockets that refuse, hang up, keep silent, babble or answer."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from cutstream.clients.kafka.reachability import first_to_answer
from cutstream.errors import BrokerUnavailable
from cutstream.settings import KafkaSettings
from tests.support.ports import free_ports

ANSWER = struct.pack(">iih", 6, 1, 0)


@contextmanager
def listening(reply: bytes | None) -> Iterator[str]:
    """Accept one connection and send `reply` to each of two requests; None reads the first and keeps silent."""
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as open_connections:

        def serve() -> None:
            try:
                connection, _ = server.accept()
            except OSError:
                return  # nobody asked
            open_connections.callback(connection.close)
            connection.recv(1024)
            if reply is not None:
                connection.sendall(reply)
                if reply == ANSWER and connection.recv(1024):
                    connection.sendall(reply)
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


def settings(*servers: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=",".join(servers))


def refusing() -> str:
    return f"127.0.0.1:{free_ports(1)[0]}"


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (None, "no answer"),
        (b"", "it closes the connection (CUTSTREAM_KAFKA__SECURITY_PROTOCOL)"),
        (b"HTTP/1.1 400 Bad Request", "its answer is not Kafka's"),
    ],
)
def test_a_server_that_is_no_broker_is_named_with_what_is_wrong(reply: bytes | None, problem: str) -> None:
    with listening(reply) as server, pytest.raises(BrokerUnavailable) as refused:
        first_to_answer(settings(server), timeout_s=0.3)
    assert str(refused.value) == f"no Kafka broker answers at {server} (is `make up` running?): {problem}"


class NoEncryption:
    """Stands in for a TLS context, and notes whose certificate it would have to see."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def wrap_socket(self, plain: socket.socket, server_hostname: str) -> socket.socket:
        self.names.append(server_hostname)
        return plain


@pytest.mark.parametrize(
    ("server", "address", "name"),
    [
        ("[::1]:9093", ("::1", 9093), "::1"),
        ("broker.example.org.:9093", ("broker.example.org.", 9093), "broker.example.org"),
    ],
)
def test_a_certificate_is_asked_for_the_bare_name(
    monkeypatch: pytest.MonkeyPatch, server: str, address: tuple[str, int], name: str
) -> None:
    tls, addresses = NoEncryption(), []
    ours, broker = socket.socketpair()
    broker.sendall(2 * ANSWER)

    def connect(address: tuple[str, int], timeout_s: float) -> socket.socket:
        addresses.append(address)
        return ours

    monkeypatch.setattr(ssl, "create_default_context", lambda cafile: tls)
    monkeypatch.setattr(socket, "create_connection", connect)
    encrypted = KafkaSettings(bootstrap_servers=server, security_protocol="SSL")
    with broker:
        assert first_to_answer(encrypted) == server
    assert (addresses, tls.names) == ([address], [name])


def test_nobody_listening_is_said_at_once() -> None:
    started = time.monotonic()
    server = refusing()
    with pytest.raises(BrokerUnavailable, match=rf"no Kafka broker answers at {server} .*: Connection refused"):
        first_to_answer(settings(server))
    assert time.monotonic() - started < 2


def test_every_server_is_named_when_none_answers() -> None:
    one, two = refusing(), "broker.invalid:9092"
    with pytest.raises(BrokerUnavailable) as refused:
        first_to_answer(settings(one, f" {two}"))
    message = str(refused.value)
    assert message.startswith(f"no Kafka broker answers at {one}, {two} (CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS): ")
    assert f"{one}: Connection refused; {two}: " in message


def test_a_frozen_broker_holds_nobody_up_while_another_answers() -> None:
    started = time.monotonic()
    with listening(None) as frozen, listening(ANSWER) as alive:
        assert first_to_answer(settings(frozen, refusing(), alive)) == alive
    assert time.monotonic() - started < 2

"""Which broker answers: asked before a client is opened, since a client alone takes long to say that none does.

kafka-python tries the brokers one after another, with pauses, and waits all its time for one that accepts connections
but never answers, as a frozen broker does.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from functools import partial
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from time import monotonic

from cutstream.errors import BrokerUnavailable
from cutstream.settings import KafkaSettings

ANSWER_TIMEOUT_S = 3.0
_CORRELATION = 1
_API_VERSIONS = struct.pack(">hhih", 18, 0, _CORRELATION, -1)  # key, version, no client id; allowed before a login
_REQUEST = struct.pack(">i", len(_API_VERSIONS)) + _API_VERSIONS


def first_to_answer(settings: KafkaSettings, timeout_s: float = ANSWER_TIMEOUT_S) -> str:
    """Ask all of `bootstrap_servers` at once and return the first that answers, as `host:port`.

    Raises BrokerUnavailable, which names the servers and what is wrong with each.
    """
    servers = settings.bootstrap_servers.split(",")
    answers: SimpleQueue[tuple[str, str]] = SimpleQueue()
    for server in servers:
        ask = partial(_ask, server.strip(), settings, timeout_s, answers)
        threading.Thread(target=ask, name="broker-probe", daemon=True).start()
    problems: dict[str, str] = {}
    deadline = monotonic() + timeout_s
    while len(problems) < len(servers):
        try:
            server, problem = answers.get(timeout=max(0.0, deadline - monotonic()))
        except Empty:
            break
        if not problem:
            return server
        problems[server] = problem
    raise BrokerUnavailable(_explain(servers, problems))


def _ask(server: str, settings: KafkaSettings, timeout_s: float, answers: SimpleQueue[tuple[str, str]]) -> None:
    host, port = _host_and_port(server)
    try:
        with socket.create_connection((host, port), timeout_s) as plain:
            if settings.security_protocol.endswith("SSL"):
                # A dot at the end ends the search for a name, and is in no certificate.
                with ssl.create_default_context(cafile=settings.ssl_cafile).wrap_socket(
                    plain, server_hostname=host.removesuffix(".")
                ) as encrypted:
                    problem = _exchange(encrypted)
            else:
                problem = _exchange(plain)
    except TimeoutError:
        problem = "no answer"
    except ssl.SSLCertVerificationError as exc:
        problem = f"its certificate is refused ({exc.verify_message}; CUTSTREAM_KAFKA__SSL_CAFILE)"
    except OSError as exc:
        problem = exc.strerror or str(exc)
    answers.put((server, problem))


def _host_and_port(server: str) -> tuple[str, int]:
    """Split one of `bootstrap_servers`. An IPv6 address comes without its brackets."""
    host, _, port = server.strip().rpartition(":")
    return host.strip("[]"), int(port)


def _exchange(connection: socket.socket) -> str:
    """Return what is wrong with the broker's answer, or an empty text."""
    connection.sendall(_REQUEST)
    reply = connection.makefile("rb").read(8)
    if len(reply) < 8:
        return "it closes the connection (CUTSTREAM_KAFKA__SECURITY_PROTOCOL)"
    return "" if struct.unpack(">ii", reply)[1] == _CORRELATION else "its answer is not Kafka's"


def _explain(servers: list[str], problems: dict[str, str]) -> str:
    hint = "is `make up` running?" if all(map(_is_loopback, servers)) else "CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS"
    details = [problems.get(server.strip(), "no answer") for server in servers]
    if len(servers) > 1:
        details = [f"{server.strip()}: {detail}" for server, detail in zip(servers, details, strict=True)]
    return f"no Kafka broker answers at {', '.join(map(str.strip, servers))} ({hint}): {'; '.join(details)}"


def _is_loopback(server: str) -> bool:
    host, _ = _host_and_port(server)
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False

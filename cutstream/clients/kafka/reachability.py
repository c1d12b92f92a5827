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
from typing import BinaryIO

from cutstream.accounts import stranger_on
from cutstream.errors import BrokerUnavailable
from cutstream.settings import KafkaSettings
from cutstream.tls import client_context

ANSWER_TIMEOUT_S = 3.0
_CORRELATION = 1
_API_VERSIONS = struct.pack(">hhih", 18, 0, _CORRELATION, -1)  # key, version, no client id; allowed before a login
_METADATA = struct.pack(">hhihi", 3, 1, _CORRELATION, -1, 0)  # of no topics; allowed only after a login
_NOT_ITS_NAME = (62, 64)  # OpenSSL's codes for a certificate of another host, and of another address
_OTHER_PROTOCOL = "it closes the connection (CUTSTREAM_KAFKA__SECURITY_PROTOCOL)"


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
                name = host.removesuffix(".")
                with client_context(settings).wrap_socket(plain, server_hostname=name) as encrypted:
                    problem = _exchange(encrypted, settings)
            else:
                problem = _exchange(plain, settings)
    except TimeoutError:
        problem = "no answer"
    except ssl.SSLError as exc:
        problem = _explain_tls(exc)
    except FileNotFoundError:
        problem = (
            f"there is no {settings.ssl_cafile}, or no other file of these settings: if the stack was started with "
            "another state folder, name that in CUTSTREAM_STACK__STATE"
        )
    except OSError as exc:
        problem = exc.strerror or str(exc)
    answers.put((server, problem))


def _host_and_port(server: str) -> tuple[str, int]:
    """Split one of `bootstrap_servers`. An IPv6 address comes without its brackets."""
    host, _, port = server.strip().rpartition(":")
    return host.strip("[]"), int(port)


def _exchange(connection: socket.socket, settings: KafkaSettings) -> str:
    """Return what is wrong with the broker's answers, or an empty text."""
    replies = connection.makefile("rb")
    if problem := _ask_once(connection, replies, _API_VERSIONS):
        return problem
    if settings.sasl_mechanism is None and _ask_once(connection, replies, _METADATA):
        return f"{_OTHER_PROTOCOL}: it may want a login"
    return ""


def _ask_once(connection: socket.socket, replies: BinaryIO, request: bytes) -> str:
    connection.sendall(struct.pack(">i", len(request)) + request)
    head = replies.read(8)
    if len(head) < 8:
        return _OTHER_PROTOCOL
    length, correlation = struct.unpack(">ii", head)
    if correlation != _CORRELATION:
        return "its answer is not Kafka's"
    replies.read(length - 4)
    return ""


def _explain_tls(exc: ssl.SSLError) -> str:
    reason = (exc.reason or "").lower().replace("_", " ")
    if isinstance(exc, ssl.SSLCertVerificationError):
        setting = "BOOTSTRAP_SERVERS" if exc.verify_code in _NOT_ITS_NAME else "SSL_CAFILE"
        return f"its certificate is refused ({exc.verify_message.rstrip('.')}; CUTSTREAM_KAFKA__{setting})"
    if "alert" in reason and ("certificate" in reason or "unknown ca" in reason):
        return f"it refuses this client's certificate, or wants one ({reason}; CUTSTREAM_KAFKA__SSL_CERTFILE)"
    if isinstance(exc, ssl.SSLEOFError) or "wrong version" in reason or "record layer" in reason:
        return f"it does not speak TLS ({reason}; CUTSTREAM_KAFKA__SECURITY_PROTOCOL)"
    return f"TLS fails: {reason or exc}"


def _explain(servers: list[str], problems: dict[str, str]) -> str:
    hint = _whose(servers[0]) if all(map(_is_loopback, servers)) else "CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS"
    details = [problems.get(server.strip(), "no answer") for server in servers]
    if len(servers) > 1:
        details = [f"{server.strip()}: {detail}" for server, detail in zip(servers, details, strict=True)]
    return f"no Kafka broker answers at {', '.join(map(str.strip, servers))} ({hint}): {'; '.join(details)}"


def _whose(server: str) -> str:
    _, port = _host_and_port(server)
    stranger = stranger_on(port)
    return f"the port is used by {stranger}, another user of this machine" if stranger else "is `make up` running?"


def _is_loopback(server: str) -> bool:
    host, _ = _host_and_port(server)
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False

"""A DNS server on a real UDP socket, whose answers a test states by name."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

_A, _CNAME, _AAAA = 1, 5, 28
_NO_SUCH_NAME, _SERVER_FAILURE = 3, 2


@dataclass
class DnsServer:
    """`answers` holds addresses and, for an alias, another name. A name below `silent` is never answered.

    A name without an answer does not exist; one whose answer is empty lets the server fail.
    """

    answers: dict[str, Sequence[str]]
    silent: str = "silent.example"
    asked: list[str] = field(default_factory=list)
    port: int = 0

    def reply(self, query: bytes) -> bytes | None:
        labels, at = [], 12
        while length := query[at]:
            labels.append(query[at + 1 : at + 1 + length].decode())
            at += 1 + length
        name, (kind,) = ".".join(labels).lower(), struct.unpack(">H", query[at + 1 : at + 3])
        self.asked.append(name)
        if name.endswith(self.silent):
            return None
        records, code = self._records(name, kind)
        header = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(records), 0, 0)
        return header + query[12 : at + 5] + b"".join(records)

    def _records(self, name: str, kind: int) -> tuple[list[bytes], int]:
        if name not in self.answers:
            return [], _NO_SUCH_NAME
        found = self.answers[name]
        if not found:
            return [], _SERVER_FAILURE
        records = []
        for answer in found:
            if answer in self.answers:
                records.append(_record(name, _CNAME, _encoded(answer)))
                records += self._records(answer, kind)[0]
            elif (_AAAA if ":" in answer else _A) == kind:
                family = socket.AF_INET6 if kind == _AAAA else socket.AF_INET
                records.append(_record(name, kind, socket.inet_pton(family, answer)))
        return records, 0


def _encoded(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def _record(name: str, kind: int, data: bytes) -> bytes:
    return _encoded(name) + struct.pack(">HHIH", kind, 1, 0, len(data)) + data  # to be kept for 0 s


@contextmanager
def serving_names(server: DnsServer) -> Iterator[DnsServer]:
    """Answer on a free port of 127.0.0.1 inside the block."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        server.port = sock.getsockname()[1]
        thread = threading.Thread(target=_serve, args=(server, sock), daemon=True)
        thread.start()
        yield server
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", server.port))
        thread.join()


def _serve(server: DnsServer, sock: socket.socket) -> None:
    while True:
        query, client = sock.recvfrom(4096)
        if not query:
            return
        if (reply := server.reply(query)) is not None:
            sock.sendto(reply, client)

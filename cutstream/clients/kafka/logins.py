"""Connections that tell a refused login from a broker that is away, and no log what they log in with.

It guards against trap 14 of the package.
"""

from __future__ import annotations

import logging
from collections import deque

from kafka import errors
from kafka.errors import KafkaError
from kafka.net import manager
from kafka.net.connection import KafkaConnection
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport

# Why the last connection of this process was refused. All its clients log in the same way, and none of them tells.
_refusals: deque[KafkaError] = deque(maxlen=1)

_REFUSED = (
    errors.SaslAuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
)


def hear_of_refused_logins() -> None:
    """Make every client of this process use the connections of this module: it opens them itself, deep inside."""
    manager.KafkaConnection = _Connection
    manager.KafkaTCPTransport = _Transport
    manager.KafkaSSLTransport = _EncryptedTransport


def hide_logins() -> None:
    """Keep passwords out of the log, also where all loggers write everything: these write all they send or know."""
    for name in ("kafka.admin.client", "kafka.net.connection", "kafka.protocol.parser"):
        logging.getLogger(name).setLevel(logging.INFO)


def raise_refused_login() -> None:
    """Raise SaslAuthenticationFailedError, once, if the last connection of this process was refused."""
    try:
        refused = _refusals.pop()
    except IndexError:
        return
    raise errors.SaslAuthenticationFailedError(*refused.args or (type(refused).__name__,)) from refused


class _Connection(KafkaConnection):  # type: ignore[misc]
    def close(self, error: Exception | None = None) -> None:
        if isinstance(error, _REFUSED):
            _refusals.append(error)
        super().close(error)

    def _init_complete(self) -> None:
        super()._init_complete()
        _refusals.clear()


class _LastWords:
    """Delivers what a broker says before it closes the connection, such as why it refuses a login."""

    def _sock_recv(self) -> tuple[bytes, Exception | None]:
        received, error = super()._sock_recv()  # type: ignore[misc]
        return received, None if received else error  # the error comes again


class _Transport(_LastWords, KafkaTCPTransport):  # type: ignore[misc]
    pass


class _EncryptedTransport(_LastWords, KafkaSSLTransport):  # type: ignore[misc]
    async def handshake(self) -> None:
        try:
            await super().handshake()
        except BaseException:
            self._sock.close()  # the client forgets it
            raise

"""The sockets of refused connections. kafka-python drops them unclosed: a warning, in whatever test follows."""

from __future__ import annotations

from typing import Any

import pytest
from kafka.net.inet import KafkaNetSocket


@pytest.fixture(autouse=True, scope="module")
def closed_sockets() -> Any:
    """Close the socket of a connection that fails."""
    connect = KafkaNetSocket.sock_connect

    async def sock_connect(self: Any, net: Any, sock: Any, *args: Any, **options: Any) -> Any:
        try:
            return await connect(self, net, sock, *args, **options)
        except BaseException:
            sock.close()
            raise

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KafkaNetSocket, "sock_connect", sock_connect)
        yield

"""Open the socket that a service listens on."""

from __future__ import annotations

import os
import socket

from cutstream.errors import ConfigurationError
from cutstream.settings import anchor, host_and_port, variable


def listen(host: str, port: int, section: str) -> socket.socket:
    """Return a listening socket. With port 0 the system chooses one.

    Raises ConfigurationError, which names HOST and PORT of that section of the settings.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as exc:
        reason = os.strerror(exc.errno) if exc.errno and exc.errno > 0 else exc.strerror
        raise ConfigurationError(
            f"cannot listen on {host_and_port(host, port)} ({reason}): {variable(section, 'host')} must be an "
            f"address of this machine and {variable(section, 'port')} a free port, or 0 for any "
            f"(docs/settings.md#{anchor(section, 'port')})"
        ) from exc

"""Ask the service of this container whether it lives: health.py worker | gateway | triton. Exit status 0 is yes.

It is the images' HEALTHCHECK, and needs Python alone. A worker or gateway that waits for its servers lives; `/readyz`
says whether it can work. Triton is asked whether every model is ready.
"""

from __future__ import annotations

import http.client
import os
import ssl
import sys

_TIMEOUT_S = 5
_PORTS = {"worker": 9100, "gateway": 8080, "triton": 8000}
_EVERYWHERE = {"", "0.0.0.0", "::"}


def main(service: str) -> int:
    """Return the exit status: 0 if the service answers that it lives, else 1."""
    prefix = f"CUTSTREAM_{service.upper()}__"
    port = int(os.environ.get(f"{prefix}PORT") or _PORTS[service])
    host = os.environ.get(f"{prefix}HOST", "")
    address = ("127.0.0.1" if host in _EVERYWHERE else host), port
    connection: http.client.HTTPConnection
    if os.environ.get(f"{prefix}SSL_CERTFILE"):  # it names no address of this container
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(*address, timeout=_TIMEOUT_S, context=context)
    else:
        connection = http.client.HTTPConnection(*address, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/v2/health/ready" if service == "triton" else "/healthz")
        return 0 if connection.getresponse().status == http.HTTPStatus.OK else 1
    except (OSError, http.client.HTTPException) as exc:
        sys.stderr.write(f"{service} at {address[0]}:{port}: {exc}\n")
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

"""How kafka-python is told what a client trusts, and how it shows who it is."""

from __future__ import annotations

from typing import Any

from cutstream.settings import KafkaSettings
from cutstream.tls import key_password


def tls_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return kafka-python's arguments. They name files, not what is in them: each connection reads them again.

    So a certificate may be renewed in its file while a worker runs.
    """
    if settings.ssl_certfile is None:
        own = {}
    else:
        keyfile = str(settings.ssl_keyfile) if settings.ssl_keyfile else None
        own = {
            "ssl_certfile": str(settings.ssl_certfile),
            "ssl_keyfile": keyfile,
            "ssl_password": key_password(settings),
        }
    return own if settings.ssl_cafile is None else {"ssl_cafile": str(settings.ssl_cafile), **own}

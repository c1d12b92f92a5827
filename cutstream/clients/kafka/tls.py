"""What a client trusts, and how it shows who it is."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

from cutstream.settings import KafkaSettings, about


def tls_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return kafka-python's arguments. They name files, not what is in them: each connection reads them again.

    So a certificate may be renewed in its file while a worker runs.
    """
    if settings.ssl_certfile is None:
        own = {}
    else:
        keyfile = str(settings.ssl_keyfile) if settings.ssl_keyfile else None
        own = {"ssl_certfile": str(settings.ssl_certfile), "ssl_keyfile": keyfile, "ssl_password": _password(settings)}
    return own if settings.ssl_cafile is None else {"ssl_cafile": str(settings.ssl_cafile), **own}


def tls_context(settings: KafkaSettings) -> ssl.SSLContext:
    """Return what makes the same connections. Raises OSError if a file cannot be used."""
    context = ssl.create_default_context(cafile=settings.ssl_cafile)
    if settings.ssl_certfile is not None:
        context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile, _password(settings))
    return context


def tls_problems(settings: KafkaSettings) -> Iterator[str]:
    """Yield a line for each file that cannot be used."""
    for name, kind in (("ssl_cafile", "certificates"), ("ssl_certfile", "certificate and key that go together")):
        file = getattr(settings, name)
        try:
            if file is not None:
                tls_context(settings.model_copy(update={"ssl_certfile": None} if name == "ssl_cafile" else {}))
        except OSError as exc:  # ssl's own errors are OSErrors
            yield about("kafka", name, f"{file} holds no {kind} ({exc.strerror or exc}): name a file in PEM format")
            return


def _password(settings: KafkaSettings) -> str:
    # Without one OpenSSL would ask for it on the terminal, and wait.
    return settings.ssl_key_password.get_secret_value() if settings.ssl_key_password else ""

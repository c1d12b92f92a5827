"""What a client of Kafka or Triton trusts, and its own certificate: the files that the settings name."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from cutstream.settings import KafkaSettings, TritonSettings, about


def client_context(settings: KafkaSettings | TritonSettings) -> ssl.SSLContext:
    """Return the context of a client's connections. Raises OSError if a file cannot be used."""
    context = ssl.create_default_context(cafile=settings.ssl_cafile)
    if settings.ssl_certfile is not None:
        context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile, key_password(settings))
    return context


def file_problems(section: str, settings: KafkaSettings | TritonSettings) -> Iterator[str]:
    """Yield a line for the first file that cannot be used."""
    for name, kind in (("ssl_cafile", "certificates"), ("ssl_certfile", "certificate and key that go together")):
        file = getattr(settings, name)
        try:
            if file is not None:
                client_context(settings.model_copy(update={"ssl_certfile": None} if name == "ssl_cafile" else {}))
        except OSError as exc:  # ssl's own errors are OSErrors
            yield about(section, name, f"{file} holds no {kind} ({exc.strerror or exc}): name a file in PEM format")
            return


def key_password(settings: KafkaSettings | TritonSettings) -> str:
    """Return the password of the client's key, or an empty one: without any, OpenSSL would ask on the terminal."""
    password = getattr(settings, "ssl_key_password", None)  # Triton's client takes no encrypted key
    return password.get_secret_value() if password else ""

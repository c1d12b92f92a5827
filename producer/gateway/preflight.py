"""Refuse settings with which a gateway cannot work on this machine, before anything is started."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

from cutstream.clients.objects import files
from cutstream.errors import ConfigurationError, RefusedAddress
from cutstream.folders import why_unwritable
from cutstream.settings import Settings, about
from producer.gateway.gateway import uploads_folder
from producer.gateway.keys import read_keys
from producer.gateway.webhooks import decode_secret


def check_settings(settings: Settings) -> None:
    """Raise ConfigurationError with a line for each problem, which names the variable and what to do."""
    if problems := list(gateway_problems(settings)):
        raise ConfigurationError("\n".join(problems))


def gateway_problems(settings: Settings) -> Iterator[str]:
    """Yield a line for each setting of a gateway that cannot work on this machine."""
    for check in (_state, _keys, _certificate, _webhooks, _uploads):
        yield from check(settings)


def _state(settings: Settings) -> Iterator[str]:
    folder = settings.gateway.state
    if problem := why_unwritable(folder):
        yield about("gateway", "state", f"{folder} {problem}: name another folder")


def _keys(settings: Settings) -> Iterator[str]:
    if settings.gateway.keys is not None:
        try:
            known = read_keys(settings.gateway.keys)
        except ConfigurationError as exc:
            yield f"{exc} (docs/settings.md#gateway-keys)"
            return
        if not known:
            yield about("gateway", "keys", f"{settings.gateway.keys} has no key: `cutstream keys create` adds one")


def _certificate(settings: Settings) -> Iterator[str]:
    gateway = settings.gateway
    if gateway.ssl_certfile is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(gateway.ssl_certfile, gateway.ssl_keyfile, "")
        except OSError as exc:  # ssl's own errors are OSErrors
            yield about(
                "gateway",
                "ssl_certfile",
                f"{gateway.ssl_certfile} holds no certificate and key that go together ({exc.strerror or exc}): name a "
                "file in PEM format",
            )


def _webhooks(settings: Settings) -> Iterator[str]:
    secret = settings.gateway.webhook_secret
    if secret is not None:
        try:
            decode_secret(secret)
        except ConfigurationError as exc:
            yield str(exc)


def _uploads(settings: Settings) -> Iterator[str]:
    """A folder for uploads must be one that workers may read, as far as these settings say what they may."""
    place = uploads_folder(settings)
    if place is None:
        return
    if problem := why_unwritable(Path(place)):
        yield about("gateway", "uploads", f"{place} {problem}: name another folder")
    allowed = files.AllowedFolders(settings.objects.file_roots)
    try:
        allowed.resolve(str(place / "photo"))
    except RefusedAddress:
        yield about(
            "objects",
            "file_roots",
            f"workers may not read what clients upload: add {place} to CUTSTREAM_OBJECTS__FILE_ROOTS of the gateway "
            "and of the workers, or name a bucket in CUTSTREAM_GATEWAY__UPLOADS",
        )

"""How to reach the servers of the local stack, and how its own user shows them who it is.

The stack is private if and only if its state folder has an identity, a file that only the stack's user can read: one
key with its certificate. Kafka and Triton show it, and let in whoever shows it, too. Whoever cannot read it can neither
use the servers nor pretend to be one.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from base64 import urlsafe_b64encode
from pathlib import Path

from pydantic import SecretStr

from cutstream.accounts import account, owner_of
from cutstream.errors import ConfigurationError
from cutstream.ownership import why_shared
from cutstream.settings.kafka import KafkaSettings
from cutstream.settings.naming import about
from cutstream.settings.page import PageSettings
from cutstream.settings.sections import StackSettings, TritonSettings
from cutstream.settings.tree import Settings


def addressed(settings: Settings) -> Settings:
    """Fill in the embedded stack's addresses, and its identity, where the settings name no broker or no Triton.

    Raises ConfigurationError if this is the private stack of another user. If it was never started, there is no
    identity yet: whatever listens on its ports is refused by who connects.
    """
    kafka, triton = settings.kafka, settings.triton
    return settings.model_copy(
        update={
            "kafka": kafka if kafka.bootstrap_servers else embedded_kafka(kafka, settings.stack),
            "triton": triton if triton.url else embedded_triton(triton, settings.stack),
            "page": settings.page if kafka.bootstrap_servers else embedded_page(settings.page, settings.stack),
        }
    )


def embedded_kafka(kafka: KafkaSettings, stack: StackSettings) -> KafkaSettings:
    """Return settings that reach the embedded broker. Raises ConfigurationError as `addressed` does."""
    identity = identity_of(stack)
    tls = {"security_protocol": "SSL", "ssl_cafile": identity, "ssl_certfile": identity} if identity else {}
    return kafka.model_copy(update={"bootstrap_servers": f"127.0.0.1:{stack.kafka_port}", **tls})


def embedded_triton(triton: TritonSettings, stack: StackSettings) -> TritonSettings:
    """Return settings that reach the embedded Triton. Raises ConfigurationError as `addressed` does."""
    identity = identity_of(stack)
    tls = {"tls": True, **dict.fromkeys(("ssl_cafile", "ssl_certfile", "ssl_keyfile"), identity)} if identity else {}
    return triton.model_copy(update={"url": f"127.0.0.1:{stack.triton_grpc_port}", **tls})


def embedded_page(page: PageSettings, stack: StackSettings) -> PageSettings:
    """Return the settings of a page that shows a local stack: its photos, and only to those who may use the stack.

    The token of a private stack is made from its identity, so whoever can read that knows it, and it stays the same
    from start to start. Raises ConfigurationError as `addressed` does.
    """
    identity = identity_of(stack)
    token = page.token or (SecretStr(_token_from(identity)) if identity else None)
    return page.model_copy(update={"photos": "always" if page.photos == "local" else page.photos, "token": token})


def _token_from(identity: Path) -> str:
    try:
        key = identity.read_bytes()
    except OSError:  # this stack has never been started: nobody needs to see its page
        return secrets.token_urlsafe(16)
    return urlsafe_b64encode(hmac.digest(key, b"cutstream live page", "sha256")[:16]).decode().rstrip("=")


def identity_of(stack: StackSettings) -> Path | None:
    """Return the identity of a private stack, which need not exist yet. None: the stack lets all accounts in.

    Raises ConfigurationError if it is another user's, or if others can read it or put another one in its place.
    """
    file = stack.state / "private" / "identity.pem"
    try:
        owner = owner_of(file)
    except (FileNotFoundError, NotADirectoryError):
        return file if stack.private else None
    if owner != os.geteuid():
        problem = f"{stack.state} is for the user {account(owner)} alone: name a folder of your own"
        raise ConfigurationError(about("stack", "state", problem))
    if problem := why_shared(file.parent) or _why_not_private(file):
        raise ConfigurationError(about("stack", "state", problem))
    return file


def _why_not_private(file: Path) -> str:
    try:
        status = file.lstat()
    except OSError:
        return ""  # it cannot be read either, which is told by who tries to
    if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077:
        return ""
    return f"{file} must be a file that its user alone can read: stop the stack and remove the folder {file.parent}"

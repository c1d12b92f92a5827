"""The identity of a private stack: made at its first start, by the program `openssl`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from cutstream.errors import StackError
from cutstream.settings import StackSettings, bare_environment, identity_of
from deploy.local.state import private_folder

OPENSSL = "openssl"
_DAYS = 3650
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")  # in a file, without a password
# It is its own authority.
_CERTIFICATE = """\
[req]
distinguished_name = name
x509_extensions = extensions
prompt = no
[name]
CN = cutstream
[extensions]
basicConstraints = critical,CA:TRUE
keyUsage = critical,digitalSignature,keyCertSign
subjectKeyIdentifier = hash
subjectAltName = IP:127.0.0.1,DNS:localhost
"""


def ensure_identity(stack: StackSettings) -> Path | None:
    """Return a private stack's identity, after making it unless it is there. None: the stack lets all accounts in.

    That of an earlier, private stack is removed then. The state folder must be locked. Raises StackError, and
    ConfigurationError as `identity_of` does.
    """
    identity = identity_of(stack)
    if identity is None:
        return None
    if not stack.private:
        identity.unlink()
        return None
    private_folder(identity.parent)
    if not identity.exists():
        part = identity.with_suffix(".part")
        _make_anew(part)
        _make(part)
        part.replace(identity)
    return identity_of(stack)


def _make_anew(file: Path) -> None:
    """Make an empty file. One that was there is of a start that was interrupted, or another user has planted it."""
    try:
        file.unlink(missing_ok=True)
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    except OSError as exc:
        raise StackError(
            f"{file} cannot be written ({exc.strerror}): remove it, or set CUTSTREAM_STACK__STATE"
        ) from exc


def _make(file: Path) -> None:
    command = [OPENSSL, "req", "-x509", *_KEY, "-days", str(_DAYS), "-config", "/dev/stdin"]
    try:
        made = subprocess.run(
            [*command, "-keyout", file.name, "-out", file.name],
            input=_CERTIFICATE,
            cwd=file.parent,
            env=bare_environment(),
            umask=0o077,
            capture_output=True,
            text=True,
        )
    except OSError as exc:
        raise StackError(f"CUTSTREAM_STACK__PRIVATE needs the program {OPENSSL} ({exc.strerror}): install it") from exc
    if made.returncode != 0:
        raise StackError(f"{OPENSSL} could not make the certificate of a private stack:\n{made.stderr}".rstrip())

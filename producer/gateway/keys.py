"""API keys: created once, shown once, and kept as hashes in a TOML file.

A key has 256 random bits, so its plain SHA-256 tells nothing about it, and no salt or slow hash is needed.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

from cutstream.clock import Clock
from cutstream.errors import ConfigurationError, InvalidOption

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

log = logging.getLogger(__name__)

PREFIX = "cs_"
NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
_HASH = re.compile(r"[0-9a-f]{64}")
_LOOK_AGAIN_S = 2.0
_NUMBERS = ("requests_per_minute", "max_calls", "max_bytes")


@dataclass(frozen=True)
class Client:
    """Who calls: the owner of a key, with limits of its own where these are not None."""

    name: str
    requests_per_minute: int | None = None
    max_calls: int | None = None
    max_bytes: int | None = None


ANYBODY = Client("")
"""Whoever calls a gateway that asks for no key."""


def create_key(file: Path, name: str, clock: Clock) -> str:
    """Add a new key to the file, which is made if it is missing, and return it. Only its hash is stored.

    Raises InvalidOption if the name is taken or not valid, and ConfigurationError if the file cannot be used.
    """
    if not NAME.fullmatch(name):
        raise InvalidOption(f"{name!r} is no name for a key: use 1 to 100 letters, digits and any of _ -")
    known = read_keys(file) if file.exists() else {}
    if name in {client.name for client in known.values()}:
        raise InvalidOption(f"{file} has a key called {name!r}: choose another name, or remove that entry")
    key = PREFIX + secrets.token_urlsafe(32)
    created = datetime.fromtimestamp(int(clock.wall()), timezone.utc).isoformat()
    entry = f'[{name}]\nsha256 = "{_hash(key)}"\ncreated = {created}\n'
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write(("\n" if out.tell() else "") + entry)
    except OSError as exc:
        raise ConfigurationError(f"{file} cannot be written: {exc.strerror}") from exc
    return key


def read_keys(file: Path) -> Mapping[str, Client]:
    """Return the client of each hash. Raises ConfigurationError, which names what is wrong."""
    try:
        entries = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else exc
        raise ConfigurationError(f"CUTSTREAM_GATEWAY__KEYS: {file} cannot be read: {reason}") from exc
    return dict(_client(file, name, entry) for name, entry in entries.items())


def _client(file: Path, name: str, entry: Any) -> tuple[str, Client]:
    what = f"CUTSTREAM_GATEWAY__KEYS: {file}, [{name}]"
    if not isinstance(entry, dict) or not _HASH.fullmatch(str(entry.get("sha256"))):
        raise ConfigurationError(f'{what}: an entry has `sha256 = "…"`, 64 hexadecimal digits in lower case')
    numbers = {field: entry.get(field) for field in _NUMBERS}
    if unknown := entry.keys() - {"sha256", "created", *_NUMBERS}:
        raise ConfigurationError(f"{what}: there is no {', '.join(sorted(unknown))}; there are {', '.join(_NUMBERS)}")
    for field, value in numbers.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ConfigurationError(f"{what}: {field} must be a whole number of at least 1")
    return entry["sha256"], Client(name, **numbers)


def _hash(key: str) -> str:
    return sha256(key.encode(errors="surrogateescape")).hexdigest()


class Keys:
    """The keys of a file, which is read again when it has changed. Thread-safe.

    A file that has become unreadable changes nothing: the keys stay those that were read last.
    """

    def __init__(self, file: Path, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._lock = Lock()
        self._clients = read_keys(file)
        self._state = self._look()
        self._looked_s = clock.monotonic()

    def find(self, key: str) -> Client | None:
        """Return whose key this is, or None. How long it takes says nothing about the keys: it looks up a hash."""
        self._refresh()
        return self._clients.get(_hash(key))

    def _refresh(self) -> None:
        now = self._clock.monotonic()
        with self._lock:
            if now - self._looked_s < _LOOK_AGAIN_S:
                return
            self._looked_s = now
            state = self._look()
            if state != self._state:
                self._state = state
                try:
                    self._clients = read_keys(self._file)
                except ConfigurationError as exc:
                    log.warning("%s: the keys that were read last stay valid", exc)

    def _look(self) -> tuple[int, int, int]:
        try:
            status = self._file.stat()
        except OSError:
            return (0, 0, 0)
        return (status.st_mtime_ns, status.st_size, status.st_ino)

"""The SQLite file that holds jobs: its tables, and how it is opened, read and written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock

from cutstream.errors import ConfigurationError, Retryable

_VERSION = 1
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE positions (partition INTEGER PRIMARY KEY, offset INTEGER NOT NULL);
CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    client TEXT NOT NULL,
    created REAL NOT NULL,
    finished REAL,
    urgent INTEGER NOT NULL,
    cancelled INTEGER NOT NULL DEFAULT 0,
    photos INTEGER NOT NULL,
    open INTEGER NOT NULL,
    idempotency_key TEXT,
    fingerprint TEXT NOT NULL,
    webhook TEXT,
    webhook_state TEXT NOT NULL DEFAULT '',
    webhook_attempts INTEGER NOT NULL DEFAULT 0,
    webhook_due REAL,
    UNIQUE (client, idempotency_key)
) WITHOUT ROWID;
CREATE INDEX jobs_by_client ON jobs (client, created);
CREATE INDEX jobs_finished ON jobs (finished);
CREATE INDEX webhooks_due ON jobs (webhook_due) WHERE webhook_due IS NOT NULL;
CREATE TABLE photos (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    upload TEXT,
    request BLOB NOT NULL,
    written INTEGER NOT NULL DEFAULT 0,
    place INTEGER,
    status TEXT,
    result BLOB,
    PRIMARY KEY (job, number)
) WITHOUT ROWID;
CREATE INDEX photos_unwritten ON photos (job) WHERE written = 0 AND status IS NULL;
CREATE INDEX photos_by_place ON photos (job, place) WHERE place IS NOT NULL;
"""


# Tables that came after the first release of this schema: a file that lacks them gets them.
_ADDED = """
CREATE TABLE IF NOT EXISTS backgrounds (
    job TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    upload TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS called_off (
    photo TEXT PRIMARY KEY REFERENCES photos (id) ON DELETE CASCADE
) WITHOUT ROWID;
"""


class JobsUnavailable(Retryable):
    """The gateway's own database cannot be written or read at the moment: its disk is full, or fails."""

    code = "jobs_unavailable"


class JobDatabase:
    """One connection, which threads share by turns."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = RLock()
        self._database: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the file, which is made if it is missing. Raises ConfigurationError."""
        try:
            database = sqlite3.connect(self._file, check_same_thread=False, isolation_level=None, timeout=10)
            self._file.chmod(0o600)
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=FULL")  # what was accepted survives a power cut
            database.execute("PRAGMA foreign_keys=ON")
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version == 0:
                database.executescript(f"BEGIN; {_SCHEMA} {_ADDED} PRAGMA user_version={_VERSION}; COMMIT;")
            elif version == _VERSION:
                database.executescript(_ADDED)
            else:
                raise ConfigurationError(
                    f"{self._file} is of another release (version {version}, not {_VERSION}): finish its jobs with "
                    "that release, or name another folder in CUTSTREAM_GATEWAY__STATE"
                )
        except (sqlite3.Error, OSError) as exc:
            raise ConfigurationError(f"{self._file} cannot be used (CUTSTREAM_GATEWAY__STATE): {exc}") from exc
        self._database = database

    def close(self) -> None:
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection for reading. Nobody else uses it meanwhile. Raises JobsUnavailable."""
        with self._lock:
            assert self._database is not None
            try:
                yield self._database
            except sqlite3.OperationalError as exc:  # the disk is full, or does not answer
                raise JobsUnavailable(f"{self._file} cannot be used now (CUTSTREAM_GATEWAY__STATE): {exc}") from exc

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection for a transaction, which is on disk afterwards. An error undoes it.

        Raises JobsUnavailable.
        """
        with self.read() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # a full disk has ended it already
                    db.execute("ROLLBACK")
                raise

"""Jobs in SQLite: what was asked for, what has been written to Kafka, and what has come back.

A job is stored before its first request is written, and a photo's result together with the offset behind it. So a
gateway that is killed finds everything again: photos that may not have been written (`unsettled`), and the place in the
results topic from which to read on. Thread-safe; every call blocks for as long as a disk needs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

from cutstream.contract.messages import Result, decode_result, encode
from cutstream.errors import ConfigurationError

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


_BACKGROUNDS = """
CREATE TABLE IF NOT EXISTS backgrounds (
    job TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    upload TEXT NOT NULL
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class NewPhoto:
    """A photo of a new job. `name` is what the client calls it, `upload` its address if the client has sent it."""

    id: str
    name: str
    upload: str | None
    request: bytes


@dataclass(frozen=True)
class Job:
    """A job as it is now. Times are in seconds since the Unix epoch. `open` photos have no result yet."""

    id: str
    client: str
    created: float
    finished: float | None
    urgent: bool
    cancelled: bool
    photos: int
    open: int
    webhook: str | None
    webhook_state: str
    webhook_attempts: int


@dataclass(frozen=True)
class Photo:
    """A photo of a job. `place` counts the photos of the job in the order of their results, from 1."""

    number: int
    id: str
    name: str
    upload: str | None
    place: int | None
    result: Result | None
    request: bytes


@dataclass(frozen=True)
class Unwritten:
    """A request that is not known to have been written to Kafka."""

    id: str
    job: str
    created: float
    urgent: bool
    cancelled: bool
    request: bytes


class IdempotencyKeyTaken(Exception):
    """The client has used this idempotency key for the job `id`. `same` says whether it asked for the same."""

    def __init__(self, id: str, same: bool) -> None:
        super().__init__(id)
        self.id = id
        self.same = same


# The background of a job that has ended, unless dead letters of it may be replayed.
_DONE_WITH = (
    "SELECT b.upload FROM backgrounds b JOIN jobs j ON j.id = b.job WHERE b.job = ? AND j.open = 0 "
    "AND NOT EXISTS (SELECT 1 FROM photos p WHERE p.job = b.job AND p.status = 'failed')"
)
_JOB = "id, client, created, finished, urgent, cancelled, photos, open, webhook, webhook_state, webhook_attempts"


class JobStore:
    """The database of one gateway."""

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
                database.executescript(f"BEGIN; {_SCHEMA} {_BACKGROUNDS} PRAGMA user_version={_VERSION}; COMMIT;")
            elif version == _VERSION:
                database.executescript(_BACKGROUNDS)
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

    def name(self, proposed: str) -> str:
        """Return the name that this store has for its gateway: the one that was proposed first."""
        with self._write() as db:
            db.execute("INSERT OR IGNORE INTO meta VALUES ('name', ?)", (proposed,))
            return str(db.execute("SELECT value FROM meta WHERE name = 'name'").fetchone()[0])

    # -- what the stream needs

    def positions(self) -> dict[int, int]:
        """Return where to read results on: empty if no photo is open, so that there is nothing to find."""
        with self._read() as db:
            if not db.execute("SELECT 1 FROM jobs WHERE open > 0 LIMIT 1").fetchone():
                return {}
            return dict(db.execute("SELECT partition, offset FROM positions"))

    def open_ids(self) -> set[str]:
        """Return the ids of the photos without a result."""
        with self._read() as db:
            return {id for (id,) in db.execute("SELECT id FROM photos WHERE status IS NULL")}

    def open_uploads(self) -> set[str]:
        """Return the addresses of the uploads that are still needed."""
        query = (
            "SELECT upload FROM photos WHERE status IS NULL AND upload IS NOT NULL "
            "UNION SELECT b.upload FROM backgrounds b JOIN jobs j ON j.id = b.job WHERE j.open > 0"
        )
        with self._read() as db:
            return {upload for (upload,) in db.execute(query)}

    def unwritten(self, limit: int = 500) -> list[Unwritten]:
        """Return requests that are not known to have been written, the oldest jobs first."""
        query = (
            "SELECT p.id, p.job, j.created, j.urgent, j.cancelled, p.request FROM photos p JOIN jobs j ON j.id = p.job "
            "WHERE p.written = 0 AND p.status IS NULL ORDER BY j.created, p.number LIMIT ?"
        )
        with self._read() as db:
            return [
                Unwritten(id, job, created, bool(urgent), bool(cancelled), request)
                for id, job, created, urgent, cancelled, request in db.execute(query, (limit,))
            ]

    def note_written(self, ids: Iterable[str]) -> None:
        with self._write() as db:
            db.executemany("UPDATE photos SET written = 1 WHERE id = ?", [(id,) for id in ids])

    def finish(
        self, results: Iterable[Result], positions: Mapping[int, int], now: float
    ) -> tuple[list[str], list[str]]:
        """Store results, and that everything before `positions` has been seen. A second result of a photo is dropped.

        Return the jobs that have changed, and the uploads that nobody needs any more. Those of failed photos stay, for
        their dead letters to be replayed.
        """
        changed: dict[str, None] = {}
        uploads: list[str] = []
        with self._write() as db:
            for result in results:
                found = db.execute(
                    "SELECT job, upload FROM photos WHERE id = ? AND status IS NULL", (result.id,)
                ).fetchone()
                if found is None:
                    continue
                job, upload = found
                db.execute(
                    "UPDATE photos SET written = 1, status = ?, result = ?, "
                    "place = (SELECT photos - open + 1 FROM jobs WHERE id = ?) WHERE id = ?",
                    (result.status, encode(result), job, result.id),
                )
                db.execute(
                    "UPDATE jobs SET open = open - 1, finished = CASE WHEN open = 1 THEN ? END, "
                    "webhook_due = CASE WHEN open = 1 AND webhook IS NOT NULL THEN ? END WHERE id = ?",
                    (now, now, job),
                )
                changed[job] = None
                if upload is not None and result.status != "failed":
                    uploads.append(upload)
            for job in changed:
                uploads += [upload for (upload,) in db.execute(_DONE_WITH, (job,))]
            self._note_positions(db, positions)
        return list(changed), uploads

    def note_positions(self, positions: Mapping[int, int]) -> None:
        with self._write() as db:
            self._note_positions(db, positions)

    # -- what clients need

    def add(
        self,
        job: Job,
        photos: Sequence[NewPhoto],
        idempotency_key: str | None,
        fingerprint: str,
        positions: Mapping[int, int],
        background: str | None = None,
    ) -> None:
        """Store a new job. `background` is the address of a picture that came with it. Raises IdempotencyKeyTaken."""
        with self._write() as db:
            if idempotency_key is not None:
                found = db.execute(
                    "SELECT id, fingerprint FROM jobs WHERE client = ? AND idempotency_key = ?",
                    (job.client, idempotency_key),
                ).fetchone()
                if found is not None:
                    raise IdempotencyKeyTaken(found[0], found[1] == fingerprint)
            db.execute(
                "INSERT INTO jobs (id, client, created, urgent, photos, open, idempotency_key, fingerprint, webhook) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(job.id, job.client, job.created, job.urgent, job.photos, job.open),
                    *(idempotency_key, fingerprint, job.webhook),
                ),
            )
            db.executemany(
                "INSERT INTO photos (job, number, id, name, upload, request) VALUES (?, ?, ?, ?, ?, ?)",
                [(job.id, number, p.id, p.name, p.upload, p.request) for number, p in enumerate(photos, start=1)],
            )
            if background is not None:
                db.execute("INSERT INTO backgrounds VALUES (?, ?)", (job.id, background))
            self._note_positions(db, positions)

    def find(self, id: str, client: str) -> Job | None:
        """Return a client's job, or None: the jobs of others do not exist for it."""
        with self._read() as db:
            row = db.execute(f"SELECT {_JOB} FROM jobs WHERE id = ? AND client = ?", (id, client)).fetchone()
        return None if row is None else _job(row)

    def list_jobs(self, client: str, limit: int) -> list[Job]:
        """Return a client's newest jobs."""
        query = f"SELECT {_JOB} FROM jobs WHERE client = ? ORDER BY created DESC LIMIT ?"
        with self._read() as db:
            return [_job(row) for row in db.execute(query, (client, limit))]

    def photos(self, job: str, after: int = 0, limit: int = 1000) -> list[Photo]:
        """Return the photos of a job with numbers above `after`, in this order."""
        return self._photos("job = ? AND number > ? ORDER BY number", job, after, limit)

    def finished_photos(self, job: str, after: int = 0, limit: int = 100) -> list[Photo]:
        """Return the photos of a job with a result, in the order of their results, behind the place `after`."""
        return self._photos("job = ? AND place > ? ORDER BY place", job, after, limit)

    def counts(self, job: str) -> dict[str, int]:
        """Return the number of a job's photos by status."""
        query = "SELECT status, count(*) FROM photos WHERE job = ? AND status IS NOT NULL GROUP BY status"
        with self._read() as db:
            return dict(db.execute(query, (job,)))

    def cancel(self, id: str) -> None:
        with self._write() as db:
            db.execute("UPDATE jobs SET cancelled = 1 WHERE id = ?", (id,))

    # -- webhooks

    def due_webhooks(self, now: float, limit: int) -> list[Job]:
        """Return the jobs whose webhook is due."""
        query = f"SELECT {_JOB} FROM jobs WHERE webhook_due <= ? ORDER BY webhook_due LIMIT ?"
        with self._read() as db:
            return [_job(row) for row in db.execute(query, (now, limit))]

    def note_webhook(self, id: str, state: str, due: float | None) -> None:
        """Note the outcome of an attempt: `delivered`, `given_up` or `failed`, which is tried again when it is due."""
        with self._write() as db:
            db.execute(
                "UPDATE jobs SET webhook_state = ?, webhook_due = ?, webhook_attempts = webhook_attempts + 1 "
                "WHERE id = ?",
                (state, due, id),
            )

    # -- the end

    def expired(self, before: float, limit: int = 20) -> list[Job]:
        """Return jobs that had finished before a time, and whose webhook is not due any more."""
        query = f"SELECT {_JOB} FROM jobs WHERE finished < ? AND webhook_due IS NULL ORDER BY finished LIMIT ?"
        with self._read() as db:
            return [_job(row) for row in db.execute(query, (before, limit))]

    def remove(self, id: str) -> None:
        with self._write() as db:
            db.execute("DELETE FROM jobs WHERE id = ?", (id,))

    def _photos(self, where: str, job: str, after: int, limit: int) -> list[Photo]:
        query = f"SELECT number, id, name, upload, place, result, request FROM photos WHERE {where} LIMIT ?"
        with self._read() as db:
            return [
                Photo(number, id, name, upload, place, None if result is None else decode_result(result), request)
                for number, id, name, upload, place, result, request in db.execute(query, (job, after, limit))
            ]

    def _note_positions(self, db: sqlite3.Connection, positions: Mapping[int, int]) -> None:
        db.executemany(
            "INSERT INTO positions VALUES (?, ?) ON CONFLICT (partition) DO UPDATE SET offset = excluded.offset",
            list(positions.items()),
        )

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            assert self._database is not None
            yield self._database

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._read() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")


def _job(row: Sequence[Any]) -> Job:
    id, client, created, finished, urgent, cancelled, photos, left, webhook, state, attempts = row
    return Job(id, client, created, finished, bool(urgent), bool(cancelled), photos, left, webhook, state, attempts)

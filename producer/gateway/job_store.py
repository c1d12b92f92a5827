"""Jobs in SQLite: what was asked for, what has been written to Kafka, and what has come back.

A job is stored before its first request is written, and a photo's result together with the offset behind it. So a
gateway that is killed finds everything again: photos that may not have been written (`unwritten`), and the place in the
results topic from which to read on. Thread-safe; every call blocks for as long as a disk needs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cutstream.contract.messages import Result, decode_result, encode
from producer.gateway.job_database import JobDatabase
from producer.gateway.job_records import IdempotencyKeyTaken, Job, NewPhoto, Photo, Unwritten

# The background of a job that has ended, unless dead letters of it may be replayed.
_DONE_WITH = (
    "SELECT b.upload FROM backgrounds b JOIN jobs j ON j.id = b.job WHERE b.job = ? AND j.open = 0 "
    "AND NOT EXISTS (SELECT 1 FROM photos p WHERE p.job = b.job AND p.status = 'failed')"
)
_JOB = "id, client, created, finished, urgent, cancelled, photos, open, webhook, webhook_state, webhook_attempts"


class JobStore:
    """The database of one gateway."""

    def __init__(self, file: Path) -> None:
        self._database = JobDatabase(file)
        self._read, self._write = self._database.read, self._database.write

    def open(self) -> None:
        """Open the file, which is made if it is missing. Raises ConfigurationError."""
        self._database.open()

    def close(self) -> None:
        self._database.close()

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
            "SELECT p.id, p.job, j.created, j.urgent, j.cancelled OR c.photo IS NOT NULL, p.request "
            "FROM photos p JOIN jobs j ON j.id = p.job LEFT JOIN called_off c ON c.photo = p.id "
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
        """Note that a job is called off."""
        with self._write() as db:
            db.execute("UPDATE jobs SET cancelled = 1 WHERE id = ?", (id,))

    def cancel_photo(self, id: str) -> None:
        """Note that one photo, by the id of its request, is called off."""
        with self._write() as db:
            db.execute("INSERT OR IGNORE INTO called_off VALUES (?)", (id,))

    def called_off(self) -> set[str]:
        """Return the ids of the photos without a result that were called off one by one."""
        with self._read() as db:
            query = "SELECT photo FROM called_off c JOIN photos p ON p.id = c.photo WHERE p.status IS NULL"
            return {id for (id,) in db.execute(query)}

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


def _job(row: Sequence[Any]) -> Job:
    id, client, created, finished, urgent, cancelled, photos, left, webhook, state, attempts = row
    return Job(id, client, created, finished, bool(urgent), bool(cancelled), photos, left, webhook, state, attempts)

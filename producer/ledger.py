"""What was sent and what came back, in one SQLite file: it outlives a command, however that ends.

A job is one request to be. It is `new` until its request is about to be written, and `sending` before that begins: so
a command that is killed leaves at most one batch of jobs of which nobody knows whether they were written, and the next
command looks on the topic for them (`doubtful`, `resolve`). Then it is `sent` until its result is there, and `ok` or
`failed`. A job that an earlier command did not get to, or that went to a broker that is gone, is `left` until somebody
names it again.

Results and how far their topic has been read are noted together. So no result is missed and none counted twice,
whenever the command ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from secrets import token_hex
from typing import IO, Literal

from cutstream.errors import CutstreamError

State = Literal["new", "sending", "sent", "ok", "failed", "left"]
Stamp = tuple[int, int]
_VERSION = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS job (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    replay INTEGER NOT NULL DEFAULT 0,
    source TEXT NOT NULL,
    name BLOB NOT NULL,
    stem BLOB,
    state TEXT NOT NULL,
    run INTEGER NOT NULL,
    code TEXT NOT NULL DEFAULT '',
    message TEXT NOT NULL DEFAULT '',
    outputs TEXT NOT NULL DEFAULT '[]',
    stamps TEXT NOT NULL DEFAULT '[]'
);
CREATE INDEX IF NOT EXISTS job_source ON job (source);
CREATE INDEX IF NOT EXISTS job_new ON job (number) WHERE state = 'new';
CREATE INDEX IF NOT EXISTS job_open ON job (run) WHERE state IN ('sending', 'sent');
CREATE INDEX IF NOT EXISTS job_failed ON job (run) WHERE state = 'failed';
CREATE TABLE IF NOT EXISTS place (
    source TEXT PRIMARY KEY,
    stem BLOB NOT NULL UNIQUE,
    holder TEXT NOT NULL DEFAULT '',
    written TEXT NOT NULL DEFAULT '{}'
);
CREATE TABLE IF NOT EXISTS position (
    topic TEXT, partition INTEGER, offset INTEGER NOT NULL, PRIMARY KEY (topic, partition)
);
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_COLUMNS = "number, id, replay, source, name, stem, state, code, message, outputs"
_CACHE_KIB = 8 * 1024
_KEPT_DIGESTS = 8  # of commands that were killed before they knew how it ended


class LedgerUnusable(CutstreamError):
    """The file that remembers what was sent cannot be read or written.

    Do what the message says: wait for the other command, make room, or name another file.
    """

    code = "ledger_unusable"


@dataclass(frozen=True, slots=True)
class Entry:
    """A photo that somebody wants to have done: the id of its request, its address, and a name for people.

    `stems` yields the places for its outputs, the best first. None: its outputs stay where the worker stores them.
    `earlier_id` takes the address of a photo that has such a place: if that is this photo, from before it was moved, it
    returns the id that the photo had there, else None.
    """

    id: str
    source: str
    name: str
    stems: Callable[[], Iterator[str]] | None = None
    earlier_id: Callable[[str], str | None] = lambda address: None


@dataclass(frozen=True, slots=True)
class Job:
    """A request, and its outcome. `outputs` are paths or addresses; `code` and `message` say why it failed.

    `written` are all paths at which outputs of this photo were ever written, or were about to be, each with the SHA-256
    of what this command may have left there. `stamps` are the size in bytes and the time of change in ns of each of
    the `outputs`, as it was written; none are known of those that an earlier release has written.
    """

    number: int
    id: str
    replay: int
    source: str
    name: str
    stem: str | None
    state: State
    code: str = ""
    message: str = ""
    outputs: tuple[str, ...] = ()
    written: Mapping[str, Sequence[str]] = field(default_factory=dict)
    stamps: tuple[Stamp, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job. `stamps` are those of its outputs on this machine."""

    id: str
    replay: int
    state: Literal["ok", "failed"]
    code: str = ""
    message: str = ""
    outputs: tuple[str, ...] = ()
    stamps: tuple[Stamp, ...] = ()


@dataclass(slots=True)
class Added:
    """Counts of added photos: those to be sent, those that are done already, and those on their way already."""

    new: int = 0
    done: int = 0
    on_their_way: int = 0
    twice: int = 0


@dataclass
class _Run:
    number: int
    unsent: int = 0
    waiting: int = 0  # sent, and without a result
    counts: dict[str, int] = field(default_factory=lambda: {"new": 0, "ok": 0, "failed": 0})


class Ledger:
    """A ledger that one command writes at a time. A context manager. One thread uses it.

    Raises LedgerUnusable.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: IO[bytes] | None = None
        self._db: sqlite3.Connection | None = None
        self._run = _Run(0)

    def __enter__(self) -> Ledger:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = self._path.with_name(f"{self._path.name}.lock").open("ab")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            self.close()
            raise LedgerUnusable(
                f"another command is working with {self._path}: wait for it, or name another folder"
            ) from exc
        except OSError as exc:
            self.close()
            raise LedgerUnusable(f"{self._path} cannot be written: {exc.strerror}") from exc
        try:
            with _named_errors(self._path):
                self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _open(self) -> None:
        self._db = db = sqlite3.connect(self._path, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")  # another command may read meanwhile
        db.execute("PRAGMA synchronous = FULL")  # a sync for each batch, for power cuts
        db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            raise LedgerUnusable(f"{self._path} is of another release (version {version}): name another file")
        db.executescript(_SCHEMA)
        if "stamps" not in {row[1] for row in db.execute("PRAGMA table_info(job)")}:  # of an earlier release
            db.execute("ALTER TABLE job ADD COLUMN stamps TEXT NOT NULL DEFAULT '[]'")
        db.execute(f"PRAGMA user_version = {_VERSION}")
        db.execute("INSERT OR IGNORE INTO fact VALUES ('token', ?)", (token_hex(16),))

    def begin(self, stream: str) -> None:
        """Begin a run on a stream, which is named by what is different for each cluster of brokers.

        What is waiting on another stream will never come back.
        """
        with self._transaction() as db:
            if self.fact("stream") != stream:
                db.execute("UPDATE job SET state = 'left' WHERE state IN ('sending', 'sent')")
                db.execute("DELETE FROM position")
                self.note_fact("stream", stream)
            db.execute("UPDATE job SET state = 'left' WHERE state = 'new'")
            number = int(self.fact("run") or 0) + 1
            self.note_fact("run", str(number))
        self._run = _Run(number)

    @property
    def token(self) -> str:
        """A name for this ledger that no other has, and nobody guesses. It is part of the ids of its requests.

        Else two ledgers that know nothing of each other would give one id to the same photo.
        """
        return self.fact("token") or ""

    @property
    def needs_results(self) -> bool:
        """Whether results may have been written for jobs that are not known to be done."""
        row = self._sql.execute("SELECT 1 FROM job WHERE state != 'ok' LIMIT 1").fetchone()
        return row is not None

    @property
    def waiting(self) -> int:
        """How many jobs of this run are sent and have no result yet."""
        return self._run.waiting

    @property
    def unsent(self) -> int:
        """How many jobs of this run are still to be sent."""
        return self._run.unsent

    @property
    def counts(self) -> Mapping[str, int]:
        """How many jobs of this run are `new`, `ok` and `failed`."""
        return self._run.counts

    def positions(self, topic: str) -> dict[int, int]:
        """Return how far a topic was read or written: for each partition the next offset."""
        return dict(self._sql.execute("SELECT partition, offset FROM position WHERE topic = ?", (topic,)).fetchall())

    def note_positions(self, topic: str, positions: Mapping[int, int]) -> None:
        with self._transaction():
            self._note_positions(topic, positions)

    def doubtful(self) -> set[str]:
        """Return the ids of jobs of which an ended command left open whether they were written: a batch at most."""
        return {id for (id,) in self._sql.execute("SELECT id FROM job WHERE state = 'sending'")}

    def resolve(self, written: Collection[str]) -> None:
        """Settle the doubts: these were written, and all others were not."""
        with self._transaction() as db:
            db.executemany("UPDATE job SET state = 'sent' WHERE id = ? AND state = 'sending'", ((i,) for i in written))
            db.execute("UPDATE job SET state = 'left' WHERE state = 'sending'")

    def add(
        self, entries: Iterable[Entry], again: bool = False, is_there: Callable[[Job], bool] = lambda job: True
    ) -> Added:
        """Add photos to this run.

        A photo that is done or on its way is left out unless `again` is set. It is not left out if its outputs are not
        there, or other ones have taken their place. A photo that has failed is tried again. A photo keeps its id; its
        `replay` counts on.
        """
        added = Added()
        with self._transaction():
            for entry in entries:
                self._add(entry, again, is_there, added)
        self._run.counts["new"] += added.new
        self._run.unsent += added.new
        return added

    def _add(self, entry: Entry, again: bool, is_there: Callable[[Job], bool], added: Added) -> None:
        stem = self._claim(entry)
        row = self._sql.execute(f"SELECT {_COLUMNS}, run FROM job WHERE id = ?", (entry.id,)).fetchone()
        if row is None:
            self._sql.execute(
                "INSERT INTO job (id, source, name, stem, state, run) VALUES (?, ?, ?, ?, 'new', ?)",
                (entry.id, entry.source, _blob(entry.name), _blob_or_none(stem), self._run.number),
            )
            added.new += 1
            return
        *columns, run = row
        job = _job(columns)
        if run == self._run.number:
            added.twice += 1
            return
        state, replay = job.state, job.replay
        if state in ("sending", "sent") and not again:
            added.on_their_way += 1
            self._run.waiting += 1
        elif state == "ok" and not again and (stem is None or self._holds(entry)) and is_there(self._with_written(job)):
            added.done += 1
        else:
            replay += state in ("ok", "failed", "sent", "sending")
            state = "new"
            added.new += 1
        self._sql.execute(
            "UPDATE job SET state = ?, replay = ?, stem = ?, name = ?, run = ? WHERE id = ?",
            (state, replay, _blob_or_none(stem), _blob(entry.name), self._run.number, entry.id),
        )

    def _claim(self, entry: Entry) -> str | None:
        """Return the place of a photo's outputs, which it keeps for ever, and no other photo has."""
        if entry.stems is None:
            return None
        row = self._sql.execute("SELECT stem FROM place WHERE source = ?", (entry.source,)).fetchone()
        if row is not None:
            return os.fsdecode(row[0])
        for stem in entry.stems():
            if self._take_over(stem, entry):
                return stem
            done = self._sql.execute(
                "INSERT OR IGNORE INTO place (source, stem) VALUES (?, ?)", (entry.source, _blob(stem))
            )
            if done.rowcount:
                return stem
        raise AssertionError("there are always more stems")

    def _take_over(self, stem: str, entry: Entry) -> bool:
        """Give a photo that was moved the place that its outputs are in, and tell whether that is this one.

        Only the same photo gets it: the cutout of another one, which is gone, stays.
        """
        place = self._sql.execute("SELECT source, holder FROM place WHERE stem = ?", (_blob(stem),)).fetchone()
        if place is None or not place[1] or entry.earlier_id(place[0]) != place[1]:
            return False
        job = (entry.id, entry.source, _blob(entry.name), place[1])
        if not self._sql.execute("UPDATE OR IGNORE job SET id = ?, source = ?, name = ? WHERE id = ?", job).rowcount:
            return False
        moved = (entry.source, entry.id, _blob(stem))
        self._sql.execute("UPDATE place SET source = ?, holder = ? WHERE stem = ?", moved)
        return True

    def _holds(self, entry: Entry) -> bool:
        row = self._sql.execute("SELECT holder FROM place WHERE source = ?", (entry.source,)).fetchone()
        return bool(row) and row[0] == entry.id

    def is_done(self, entry: Entry, is_there: Callable[[Job], bool]) -> bool:
        """Tell whether `add` would leave this photo out as done."""
        job = self.find(entry.id)
        return job is not None and job.state == "ok" and self._holds(entry) and is_there(job)

    def take(self, limit: int) -> list[Job]:
        """Return the next jobs to be written, and note that they are about to be."""
        with self._transaction() as db:
            rows = db.execute(f"SELECT {_COLUMNS} FROM job WHERE state = 'new' ORDER BY number LIMIT ?", (limit,))
            jobs = [self._with_written(_job(row)) for row in rows.fetchall()]
            db.executemany("UPDATE job SET state = 'sending' WHERE number = ?", ((job.number,) for job in jobs))
        self._run.waiting += len(jobs)
        self._run.unsent -= len(jobs)
        return jobs

    def note_sent(self, jobs: Sequence[Job], topic: str, positions: Mapping[int, int]) -> None:
        """Note that the brokers have these jobs, and up to where their topic was written."""
        with self._transaction() as db:
            ids = ((job.id,) for job in jobs)
            db.executemany("UPDATE job SET state = 'sent' WHERE id = ? AND state = 'sending'", ids)
            self._note_positions(topic, positions)

    def find(self, id: str) -> Job | None:
        """Return the job with this id."""
        row = self._sql.execute(f"SELECT {_COLUMNS} FROM job WHERE id = ?", (id,)).fetchone()
        return self._with_written(_job(row)) if row else None

    def _with_written(self, job: Job) -> Job:
        if job.stem is None:
            return job
        sql = "SELECT written, stamps FROM place JOIN job USING (source) WHERE job.number = ?"
        row = self._sql.execute(sql, (job.number,)).fetchone()
        if row is None:
            return job
        return replace(job, written=json.loads(row[0]), stamps=tuple(map(tuple, json.loads(row[1]))))

    def note_intended(self, outputs: Iterable[tuple[Job, Mapping[str, str]]]) -> None:
        """Note, before outputs are written, by path the SHA-256 of what will be there.

        A command that is killed in between would otherwise take its own files for somebody else's.
        """
        with self._transaction() as db:
            for job, digests in outputs:
                row = db.execute("SELECT written FROM place WHERE source = ?", (job.source,)).fetchone()
                if row is not None and digests:
                    written = json.loads(row[0])
                    for name, digest in digests.items():
                        written[name] = [*written.get(name, ()), digest][-_KEPT_DIGESTS:]
                    db.execute("UPDATE place SET written = ? WHERE source = ?", (json.dumps(written), job.source))

    def settle(self, outcomes: Iterable[Outcome], topic: str = "", positions: Mapping[int, int] | None = None) -> None:
        """Note outcomes, and how far the topic of results was read with them."""
        with self._transaction() as db:
            for outcome in outcomes:
                self._settle(db, outcome)
            self._note_positions(topic, positions or {})

    def _settle(self, db: sqlite3.Connection, outcome: Outcome) -> None:
        row = db.execute("SELECT replay, state, run, source, stem FROM job WHERE id = ?", (outcome.id,)).fetchone()
        if row is None:
            return
        replay, state, run, source, stem = row
        if outcome.replay < replay or (outcome.replay == replay and state in ("ok", "failed")):
            return  # an earlier attempt, or the same result once more
        db.execute(
            "UPDATE job SET state = ?, replay = ?, code = ?, message = ?, outputs = ?, stamps = ? WHERE id = ?",
            (
                *(outcome.state, outcome.replay, outcome.code, outcome.message),
                *(json.dumps(outcome.outputs), json.dumps(outcome.stamps), outcome.id),
            ),
        )
        if stem is not None and outcome.state == "ok":
            (before,) = db.execute("SELECT written FROM place WHERE source = ?", (source,)).fetchone()
            written = json.loads(before)
            written |= {name: written[name][-1:] for name in outcome.outputs if name in written}
            changed = (outcome.id, json.dumps(written), source)
            db.execute("UPDATE place SET holder = ?, written = ? WHERE source = ?", changed)
        if run == self._run.number and state in ("new", "sending", "sent"):
            self._run.waiting -= state != "new"
            self._run.unsent -= state == "new"
            self._run.counts[outcome.state] += 1

    def failures(self) -> Iterator[Job]:
        """Yield the jobs of this run that have failed."""
        run = (self._run.number,)
        yield from map(_job, self._sql.execute(f"SELECT {_COLUMNS} FROM job WHERE state = 'failed' AND run = ?", run))

    def successes(self, limit: int) -> list[Job]:
        """Return jobs of this run that are done, the first ones."""
        sql = f"SELECT {_COLUMNS} FROM job WHERE state = 'ok' AND run = ? ORDER BY number LIMIT ?"
        return [_job(row) for row in self._sql.execute(sql, (self._run.number, limit))]

    def fact(self, name: str) -> str | None:
        """Return what was noted under a name."""
        row = self._sql.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def note_fact(self, name: str, value: str) -> None:
        self._sql.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, value))

    def _note_positions(self, topic: str, positions: Mapping[int, int]) -> None:
        rows = [(topic, partition, offset) for partition, offset in positions.items()]
        self._sql.executemany("INSERT OR REPLACE INTO position VALUES (?, ?, ?)", rows)

    @property
    def _sql(self) -> sqlite3.Connection:
        assert self._db is not None, "the ledger is not open"
        return self._db

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = self._sql
        with _named_errors(self._path):
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise


def look_up(path: Path, source: str) -> list[Job]:
    """Return what a ledger knows about a photo's address, the newest last. Other commands may be writing the ledger.

    Raises LedgerUnusable.
    """
    if not path.exists():
        return []
    with _named_errors(path):
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            rows = db.execute(f"SELECT {_COLUMNS} FROM job WHERE source = ? ORDER BY run, number", (source,))
            return [_job(row) for row in rows.fetchall()]
        finally:
            db.close()


def _job(row: Sequence[object]) -> Job:
    number, id, replay, source, name, stem, state, code, message, outputs = row
    assert isinstance(name, bytes)
    assert isinstance(outputs, str)
    place = os.fsdecode(stem) if isinstance(stem, bytes) else None
    found = tuple(json.loads(outputs))
    return Job(number, id, replay, source, os.fsdecode(name), place, state, code, message, found)  # type: ignore[arg-type]


def _blob(text: str) -> bytes:
    return os.fsencode(text)


def _blob_or_none(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        raise LedgerUnusable(f"{path}: {_problem(exc)}") from exc


def _problem(exc: sqlite3.Error) -> str:
    """Return what is wrong with a ledger, and what to do. Only one that is damaged is to be moved away."""
    text = str(exc)  # Python 3.10 has no codes
    if "full" in text:
        return "no space is left on the disk: make room and run the command again"
    if "I/O" in text:
        return (
            f"the disk refuses to read or write ({text}): it may be full or broken, or a quota or a limit on the size "
            "of files (`ulimit -f`) is reached. Put that right and run the command again: it goes on where it stopped"
        )
    if "readonly" in text or "unable to open" in text:
        return f"this user may not write it ({text}): see to that, or name another folder"
    if "locked" in text:
        return f"another program is using it ({text}): wait for that one and run the command again"
    return (
        f"cannot be used ({text}): move it away. All photos are then done again, over earlier outputs with --overwrite "
        "alone"
    )

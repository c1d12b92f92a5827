from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from cutstream.contract.messages import ErrorDetail, Request, Result, SourceRecord, encode
from cutstream.errors import ConfigurationError
from producer.gateway.job_database import JobsUnavailable
from producer.gateway.job_records import IdempotencyKeyTaken, Job, NewPhoto
from producer.gateway.job_store import JobStore

NOW = 1_700_000_000.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    store = JobStore(tmp_path / "jobs.sqlite")
    store.open()
    yield store
    store.close()


def add(store: JobStore, id: str = "job", photos: int = 3, client: str = "", **more: object) -> None:
    key, positions = more.pop("key", None), more.pop("positions", {0: 5})
    job = Job(id, client, NOW, None, False, False, photos, photos, more.pop("webhook", None), "", 0)  # type: ignore[arg-type]
    requests = [Request(id=f"{id}-{n}", image=f"https://a.example/{n}.jpg") for n in range(1, photos + 1)]
    stored = [NewPhoto(r.id or "", r.image, f"file:///up/{r.id}", encode(r)) for r in requests]
    store.add(job, stored, key, str(more.pop("fingerprint", "same")), positions)  # type: ignore[arg-type]


def result(id: str, status: str = "ok") -> Result:
    error = None if status == "ok" else ErrorDetail(code="x", message="y", stage="fetch", retryable=False)
    source = SourceRecord(topic="t", partition=0, offset=0, timestamp_ms=0)
    return Result(id=id, status=status, source=source, error=error)  # type: ignore[arg-type]


def test_a_job_is_done_when_its_last_photo_has_a_result(store: JobStore) -> None:
    add(store)
    assert store.open_ids() == {"job-1", "job-2", "job-3"}
    changed = store.finish([result("job-2"), result("job-1", "failed"), result("other")], {0: 9}, NOW + 1)
    assert changed == (["job"], ["file:///up/job-2"]), "a failed photo's upload stays for its dead letter"
    job = store.find("job", "")
    assert job is not None
    assert (job.open, job.finished) == (1, None)
    assert store.finish([result("job-2"), result("job-3")], {0: 12}, NOW + 2)[0] == ["job"]
    job = store.find("job", "")
    assert job is not None
    assert (job.open, job.finished) == (0, NOW + 2)
    assert store.counts("job") == {"ok": 2, "failed": 1}
    assert [(photo.place, photo.id) for photo in store.finished_photos("job")] == [
        (1, "job-2"),
        (2, "job-1"),
        (3, "job-3"),
    ]
    assert [photo.id for photo in store.finished_photos("job", after=2)] == ["job-3"]


def test_positions_count_only_while_photos_are_open(store: JobStore) -> None:
    assert store.positions() == {}
    add(store, photos=1, positions={0: 5, 1: 7})
    assert store.positions() == {0: 5, 1: 7}
    store.finish([], {1: 8}, NOW)
    assert store.positions() == {0: 5, 1: 8}
    store.finish([result("job-1")], {}, NOW)
    assert store.positions() == {}, "there is nothing to read again"


def test_what_is_not_known_to_be_written_is_remembered(store: JobStore) -> None:
    add(store)
    assert [photo.id for photo in store.unwritten()] == ["job-1", "job-2", "job-3"]
    store.note_written(["job-1"])
    store.finish([result("job-2")], {}, NOW)
    assert [photo.id for photo in store.unwritten()] == ["job-3"]
    store.cancel("job")
    assert store.unwritten()[0].cancelled


def test_one_photo_may_be_called_off(store: JobStore) -> None:
    add(store, photos=2)
    store.cancel_photo("job-2")
    assert [photo.cancelled for photo in store.unwritten()] == [False, True]
    assert store.called_off() == {"job-2"}
    store.finish([result("job-2", "cancelled")], {}, NOW)
    assert store.called_off() == set()
    store.remove("job")


def test_an_idempotency_key_belongs_to_one_client(store: JobStore) -> None:
    add(store, "one", key="k", client="shop")
    add(store, "two", key="k", client="print")
    for fingerprint, same in (("same", True), ("other", False)):
        with pytest.raises(IdempotencyKeyTaken) as caught:
            add(store, "three", key="k", client="shop", fingerprint=fingerprint)
        assert (caught.value.id, caught.value.same) == ("one", same)
    assert store.find("three", "shop") is None
    assert store.find("one", "print") is None
    assert [job.id for job in store.list_jobs("print", 10)] == ["two"]


def test_a_webhook_is_due_once_the_job_is_done(store: JobStore) -> None:
    add(store, photos=1, webhook="https://a.example/")
    add(store, "quiet", photos=1)
    assert store.due_webhooks(NOW + 9, 10) == []
    store.finish([result("job-1"), result("quiet-1")], {}, NOW)
    (due,) = store.due_webhooks(NOW, 10)
    store.note_webhook(due.id, "failed", NOW + 2)
    assert store.due_webhooks(NOW + 1, 10) == []
    assert [job.id for job in store.expired(NOW + 100)] == ["quiet"], "a webhook is still to be sent"
    (due,) = store.due_webhooks(NOW + 2, 10)
    assert due.webhook_attempts == 1
    store.note_webhook(due.id, "delivered", None)
    assert {job.id for job in store.expired(NOW + 100)} == {"job", "quiet"}
    store.remove("job")
    assert store.find("job", "") is None
    assert store.photos("job") == []


def test_everything_is_there_after_a_kill(tmp_path: Path) -> None:
    first = JobStore(tmp_path / "jobs.sqlite")
    first.open()
    assert first.name("gw1") == "gw1"
    add(first)
    second = JobStore(tmp_path / "jobs.sqlite")  # the first is not closed
    second.open()
    assert second.name("gw2") == "gw1"
    assert len(second.open_ids()) == 3
    first.close()
    second.close()


def test_a_full_disk_is_named_undone_and_passes(store: JobStore) -> None:
    add(store, "first")
    database = store._database._database
    assert database is not None
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count={pages}")
    for _ in range(2):
        with pytest.raises(JobsUnavailable, match="full"):
            add(store, "second", photos=1000)
    assert store.find("second", "") is None
    assert len(store.unwritten()) == 3
    database.execute("PRAGMA max_page_count=100000")
    add(store, "second", photos=1000)
    assert len(store.open_ids()) == 1003


def test_a_file_of_another_release_or_of_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "jobs.sqlite"
    database = sqlite3.connect(file)
    database.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(ConfigurationError, match="version 99"):
        JobStore(file).open()
    file.write_bytes(b"no database " * 100)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        JobStore(file).open()

"""Folders of photos through a real broker: each photo once, whenever the command is killed."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cutstream.settings import KafkaSettings, ObjectSettings, Settings, as_environment
from producer.folders import running
from producer.folders.places import ledger_in
from producer.folders.running import run
from producer.folders.work import Report, Stream, Tally, Work
from producer.ledger import Job, Ledger
from tests.support.folder_worker import FolderWorker

pytestmark = pytest.mark.kafka

FIELDS = {"outputs": ["cutout"]}
# A command that kills itself at the n-th call of a method, before or after the call.
KILLED = """
import os, signal, sys
from producer.folders import exchange, saving
from producer.ledger import Ledger
places = {{"take": Ledger, "note_sent": Ledger, "settle": Ledger, "write": exchange.RecordWriter}}
owner, name, calls = places[{method!r}], {method!r}, []
whole = getattr(owner, name)
def dying(*arguments, **options):
    calls.append(1)
    if len(calls) == {number} and {when!r} == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    done = whole(*arguments, **options)
    if len(calls) == {number}:
        os.kill(os.getpid(), signal.SIGKILL)
    return done
setattr(owner, name, dying)
exchange.MAX_BATCH = 5
from tests.integration.kafka.test_folders import cut
from cutstream.settings import load
from pathlib import Path
cut(load(), Path({photos!r}), Path({out!r}), {inbox!r} and Path({inbox!r}))
"""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for number in range(12):
        for name in (f"shoes/{number}.jpg", f"мои фото/рис. {number} (1).png"):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
    return folder


@pytest.fixture
def settings(kafka_settings: KafkaSettings, tmp_path: Path) -> Settings:
    (tmp_path / "inbox").mkdir()
    roots = (tmp_path / "photos", tmp_path / "inbox")
    return Settings(kafka=kafka_settings, objects=ObjectSettings(file_roots=roots, destination=str(tmp_path / "store")))


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> FolderWorker:
    return FolderWorker(settings.kafka, tmp_path / "store")


def cut(settings: Settings, photos: Path, out: Path, inbox: Path | None = None, **options: object) -> Report:
    report = Report(warn=print)
    work = Work(arguments=[str(photos)], fields=FIELDS, ledger=ledger_in(out), out=out, **options)  # type: ignore[arg-type]
    run(work, Stream(settings, settings.objects, inbox), report, lambda ledger: None)
    return report


def tree(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and ".cutstream" not in path.parts)
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def expected(photos: Path) -> dict[str, str]:
    return {str(Path(name).with_suffix(".png")): f"cutout of {text.encode()!r}" for name, text in tree(photos).items()}


def test_a_tree_goes_in_and_the_same_tree_comes_out(settings, worker, photos, tmp_path) -> None:
    out = tmp_path / "out"
    with worker:
        report = cut(settings, photos, out)
        assert tree(out) == expected(photos)
        assert (report.tally.total, report.tally.ok, report.tally.failed) == (24, 24, 0)
        again = cut(settings, photos, out)
        assert (again.tally.total, again.tally.done) == (0, 24)
    assert set(worker.requests.values()) == {1}
    assert len(worker.requests) == 24


def test_what_is_new_changed_removed_or_failed_is_done_and_nothing_else(settings, worker, photos, tmp_path) -> None:
    out, bad = tmp_path / "out", photos / "bad.jpg"
    bad.write_text("bad")
    with worker:
        assert cut(settings, photos, out).tally.failed == 1
        (photos / "new.jpg").write_text("new")
        (photos / "shoes/1.jpg").write_text("changed")
        (out / "shoes/2.png").unlink()
        report = cut(settings, photos, out)
    assert (report.tally.total, report.tally.ok, report.tally.failed, report.tally.done) == (4, 3, 1, 22)
    bad.unlink()
    assert tree(out) == expected(photos)
    assert sorted(replay for (id, replay) in worker.requests if id.startswith("bad")) == [0, 1]
    assert set(worker.requests.values()) == {1}, "a repeat has a number of its own"


def test_an_output_that_somebody_changed_stays_and_its_photo_fails(settings, worker, photos, tmp_path) -> None:
    out = tmp_path / "out"
    with worker:
        cut(settings, photos, out)
        (out / "shoes/1.png").write_text("MINE")
        report = cut(settings, photos, out)
        assert (report.tally.failed, report.tally.done) == (1, 23)
        assert (out / "shoes/1.png").read_text() == "MINE"
        assert cut(settings, photos, out, overwrite=True).tally.ok == 1
    assert tree(out) == expected(photos)


@pytest.mark.parametrize("inbox", [False, True])
@pytest.mark.parametrize(
    ("method", "when", "number"),
    [
        ("take", "after", 1),
        ("take", "after", 3),
        ("write", "after", 1),
        ("write", "after", 3),
        ("note_sent", "after", 2),
        ("settle", "before", 1),
        ("settle", "before", 2),
        ("settle", "after", 2),
    ],
)
def test_a_command_that_is_killed_goes_on_and_does_no_photo_twice(
    settings, worker, photos, tmp_path, method: str, when: str, number: int, inbox: bool
) -> None:
    out, place = tmp_path / "out", tmp_path / "inbox"
    program = KILLED.format(
        method=method, when=when, number=number, photos=str(photos), out=str(out), inbox=str(place) if inbox else ""
    )
    with worker:
        killed = subprocess.run(
            [sys.executable, "-c", program], env=os.environ | as_environment(settings), capture_output=True, timeout=60
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
        report = cut(settings, photos, out, place if inbox else None)
    assert tree(out) == expected(photos)
    assert report.tally.failed == 0
    assert set(worker.requests.values()) == {1}
    assert {replay for _, replay in worker.requests} == {0}
    assert len(worker.requests) == 24
    assert not list((out / ".cutstream" / "unfinished").iterdir())
    assert not [path for path in place.rglob("*") if path.is_file()], "nothing is left in the inbox"


def test_photos_outside_the_workers_folders_are_lent_to_it(settings, worker, photos, tmp_path) -> None:
    elsewhere = photos.rename(tmp_path / "elsewhere")
    with worker:
        report = cut(settings, elsewhere, tmp_path / "out", tmp_path / "inbox")
    assert tree(tmp_path / "out") == expected(elsewhere)
    assert report.tally.ok == 24
    assert all("/inbox/" in image for image in worker.images)
    assert not list((tmp_path / "inbox").iterdir())
    assert not (tmp_path / "store").exists()


def test_a_link_that_leads_out_of_the_workers_folders_is_lent(settings, worker, photos, tmp_path) -> None:
    (tmp_path / "far.jpg").write_text("far")
    (photos / "near.jpg").symlink_to(tmp_path / "far.jpg")
    with worker:
        cut(settings, photos, tmp_path / "out", tmp_path / "inbox")
    assert (tmp_path / "out" / "near.png").read_text() == "cutout of b'far'"


def test_results_that_come_while_no_command_runs_are_noted_by_the_next(settings, worker, photos, tmp_path) -> None:
    ledger = tmp_path / "ledger.db"
    sent: list[Job] = []
    work = Work(arguments=[str(photos)], fields=FIELDS, ledger=ledger, wait=False)
    stream = Stream(settings, settings.objects)
    run(work, stream, Report(warn=print, on_sent=sent.append), lambda ledger: None)
    assert len(sent) == 24
    with worker:
        report = Report(warn=print)
        run(Work(arguments=[str(photos)], fields=FIELDS, ledger=ledger), stream, report, lambda ledger: None)
        assert report.tally.total + report.tally.done == 24
    assert set(worker.requests.values()) == {1}


def test_no_more_photos_are_in_flight_than_allowed(settings, photos, tmp_path) -> None:
    """No worker answers: the command sends so many and waits."""
    sent: list[Job] = []

    class Enough(Exception):
        pass

    def stop(tally) -> None:
        if tally.seconds > 1:
            raise Enough

    work = Work(arguments=[str(photos)], fields=FIELDS, ledger=tmp_path / "l.db", in_flight=7)
    report = Report(warn=print, on_sent=sent.append, on_progress=stop)
    with pytest.raises(Enough):
        run(work, Stream(settings, settings.objects), report, lambda ledger: None)
    assert len(sent) == 7


def test_a_ledger_of_another_kafka_is_of_no_use_for_what_is_on_its_way(
    settings, worker, photos, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, stream = tmp_path / "ledger.db", Stream(settings, settings.objects)
    run(Work(arguments=[str(photos)], fields=FIELDS, ledger=ledger, wait=False), stream, Report(print), lambda _: None)
    monkeypatch.setattr(running, "cluster_and_ends", lambda settings, topic: ("another", {}))
    report = Report(print)
    with worker:
        run(Work(arguments=[str(photos)], fields=FIELDS, ledger=ledger), stream, report, lambda ledger: None)
    assert report.tally.ok == 24


def test_two_folders_of_outputs_do_not_take_each_others_results(settings, worker, photos, tmp_path) -> None:
    with worker:
        for name in ("one", "two"):
            assert cut(settings, photos, tmp_path / name, tmp_path / "inbox").tally.ok == 24
    assert tree(tmp_path / "one") == tree(tmp_path / "two") == expected(photos)
    assert set(worker.requests.values()) == {1}, "each has ids of its own"


def test_failures_can_be_listed(settings, worker, photos, tmp_path) -> None:
    from producer.folders.reporting import write_failures

    (photos / "shoes" / "bad, very.jpg").write_text("x")
    out = tmp_path / "out"
    work = Work(arguments=[str(photos)], fields=FIELDS, ledger=ledger_in(out), out=out)

    def end(ledger: Ledger) -> None:
        write_failures(ledger.failures(), out / "failed.csv")

    with worker:
        run(work, Stream(settings, settings.objects), Report(print), end)
    rows = list(csv.reader((out / "failed.csv").read_text().splitlines()))
    assert rows == [["photo", "code", "message"], ["shoes/bad, very.jpg", "invalid_file_type", "no image"]]


def test_a_watched_folder_is_followed(settings, worker, photos, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_WATCH_S", 0.1)
    out = tmp_path / "out"

    class Enough(Exception):
        pass

    def follow(tally: Tally) -> None:
        if tally.ok == 24 and not (photos / "new.jpg").exists():
            (photos / "new.jpg").write_text("new")
            (photos / "shoes/1.jpg").write_text("changed")
        if tally.ok == 26 or tally.seconds > 60:
            raise Enough

    report = Report(warn=print, on_progress=follow)
    work = Work(arguments=[str(photos)], fields=FIELDS, ledger=ledger_in(out), out=out, watch=True)
    with worker, pytest.raises(Enough):
        run(work, Stream(settings, settings.objects), report, lambda ledger: None)
    assert tree(out) == expected(photos)
    assert set(worker.requests.values()) == {1}

"""Outputs are written whole, and never over a file of somebody else's."""

from __future__ import annotations

import csv
import errno
import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from cutstream.clients.objects.files import uri_of
from cutstream.contract.messages import ErrorDetail, Result, SourceRecord, StoredObject
from cutstream.errors import InvalidOption
from producer.folders import saving
from producer.folders.inbox import Inbox
from producer.folders.places import check_folders
from producer.folders.reporting import describe_progress, describe_seconds, write_failures
from producer.folders.saving import OutputExists, OutputsNotWritten, Saver, are_there
from producer.folders.single import check_target, deliver, with_format_of
from producer.folders.work import Tally
from producer.ledger import Job

SOURCE = SourceRecord(topic="requests", partition=0, offset=0, timestamp_ms=0)
DATA = b"a cutout"


def job(stem: str | None = "shoes/a", **fields: object) -> Job:
    return Job(1, "a-1", 0, "file:///photos/a.jpg", "shoes/a.jpg", stem, "sent", **fields)  # type: ignore[arg-type]


def stored(uri: str, output: str = "cutout", data: bytes = DATA, media_type: str = "image/png") -> StoredObject:
    digest = sha256(data).hexdigest()
    return StoredObject(
        output=output,  # type: ignore[arg-type]
        uri=uri,
        bytes=len(data),
        sha256=digest,
        width=1,
        height=1,
        media_type=media_type,
    )


def ok(*objects: StoredObject) -> Result:
    return Result(id="a-1", status="ok", source=SOURCE, objects=objects)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def saver(out: Path) -> Saver:
    saver = Saver(out, lambda uri: DATA)
    saver.open()
    return saver


def test_an_output_gets_its_place_and_nothing_is_left_over(saver: Saver, out: Path) -> None:
    outcome = saver(job(), ok(stored("s3://bucket/x.png")))
    assert (outcome.state, outcome.outputs) == ("ok", ("shoes/a.png",))
    assert (out / "shoes/a.png").read_bytes() == DATA
    assert not list((out / ".cutstream/unfinished").iterdir())
    assert are_there(out, job(outputs=outcome.outputs))
    assert not are_there(out, job(outputs=("shoes/b.png",)))
    (out / "shoes/a.png").write_bytes(b"")
    assert not are_there(out, job(outputs=outcome.outputs)), "empty, as after a power cut"


def test_several_outputs_say_what_they_are(saver: Saver, out: Path) -> None:
    outcome = saver(job(), ok(stored("s3://b/x"), stored("s3://b/y", "composite", media_type="image/jpeg")))
    assert outcome.outputs == ("shoes/a.cutout.png", "shoes/a.composite.jpg")


def test_a_failed_result_writes_nothing(saver: Saver, out: Path) -> None:
    error = ErrorDetail(code="file_too_large", message="31 MB", stage="fetch", retryable=False)
    outcome = saver(job(), Result(id="a-1", status="failed", source=SOURCE, error=error))
    assert (outcome.state, outcome.code, outcome.message) == ("failed", "file_too_large", "31 MB")
    assert not (out / "shoes").exists()


def test_a_file_of_somebody_elses_is_kept_unless_asked(saver: Saver, out: Path) -> None:
    (out / "shoes").mkdir(parents=True)
    (out / "shoes/a.png").write_bytes(b"mine")
    outcome = saver(job(), ok(stored("s3://b/x")))
    assert (outcome.state, outcome.code) == ("failed", "output_exists")
    assert (out / "shoes/a.png").read_bytes() == b"mine"
    with pytest.raises(OutputExists, match="--overwrite"):
        saver.check_free(job(), ("cutout",), "png")
    saver.check_free(job(), ("cutout", "mask"), "png")
    earlier = {"shoes/a.png": [sha256(b"ours, of earlier").hexdigest()]}
    outcome = saver(job(written=earlier), ok(stored("s3://b/x")))
    assert outcome.code == "output_exists", "it was retouched"
    assert "was changed since" in outcome.message
    (out / "shoes/a.png").write_bytes(b"ours, of earlier")
    saver.check_free(job(written=earlier), ("cutout",), "png")
    assert saver(job(written=earlier), ok(stored("s3://b/x"))).state == "ok", "an earlier one of this photo"
    (out / "shoes/a.png").write_bytes(b"mine")
    assert Saver(out, lambda uri: DATA, overwrite=True)(job(), ok(stored("s3://b/x"))).state == "ok"
    assert (out / "shoes/a.png").read_bytes() == DATA


@pytest.mark.parametrize(("number", "message"), [(errno.ENOSPC, "no space is left"), (errno.EACCES, "may not write")])
def test_a_full_disk_and_a_missing_right_end_the_command_by_name(
    saver: Saver, out: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(saving.os, "fsync", refuse)
    with pytest.raises(OutputsNotWritten, match=f"{message}.*goes on where this one stopped"):
        saver(job(), ok(stored("s3://b/x")))
    assert not list((out / ".cutstream/unfinished").iterdir())
    assert not list((out / "shoes").iterdir())


def test_what_cannot_be_a_name_fails_that_photo_alone(saver: Saver) -> None:
    outcome = saver(job("x" * 300), ok(stored("s3://b/x")))
    assert (outcome.state, outcome.code) == ("failed", "output_exists")


def test_what_a_killed_command_left_unfinished_is_removed(saver: Saver, out: Path) -> None:
    (out / ".cutstream/unfinished/x.part").write_bytes(b"half")
    saver.open()
    assert not list((out / ".cutstream/unfinished").iterdir())


def test_a_photo_is_lent_and_its_output_moved(tmp_path: Path, out: Path) -> None:
    inbox = Inbox(tmp_path / "inbox", "token")
    inbox.open()
    (tmp_path / "тест.JPG").write_bytes(b"photo")
    lent = inbox.lend(str(tmp_path / "тест.JPG"), "a-1")
    assert lent.endswith("/inbox/token/photos/a-1.jpg")
    made = tmp_path / "inbox/token/outputs/a-1/cutout-0.png"
    made.parent.mkdir()
    made.write_bytes(DATA)
    saver = Saver(out, lambda uri: b"", inbox)
    saver.open()
    result = ok(stored(uri_of(str(made))))
    assert saver(job(), result).state == "ok"
    assert (out / "shoes/a.png").read_bytes() == DATA
    assert saver(job(), result).state == "ok", "a command that was killed had moved it"
    inbox.close()
    assert not list((tmp_path / "inbox").iterdir())


def test_the_folder_of_the_photos_cannot_take_their_outputs(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="holds the photos themselves"):
        check_folders([str(tmp_path)], tmp_path / "." / "x" / "..")
    (tmp_path / "file").touch()
    with pytest.raises(InvalidOption, match="is a file"):
        check_folders([str(tmp_path)], tmp_path / "file")
    check_folders([str(tmp_path)], tmp_path / "cutouts")


@pytest.mark.parametrize(
    ("target", "format"), [("a.png", "png"), ("a.JPG", "jpeg"), ("a.webp", "webp"), ("a.zip", "zip"), ("-", "auto")]
)
def test_the_name_of_one_output_chooses_its_format(target: str, format: str) -> None:
    assert with_format_of({"outputs": ["cutout"], "format": "auto"}, target)["format"] == format


def test_one_file_takes_one_output_of_a_known_format() -> None:
    with pytest.raises(InvalidOption, match=r"does not end in \.png"):
        with_format_of({"outputs": ["cutout"]}, "a.tiff")
    with pytest.raises(InvalidOption, match="2 outputs do not fit into one file"):
        with_format_of({"outputs": ["cutout", "mask"]}, "a.png")
    assert with_format_of({"outputs": ["cutout"], "format": "webp"}, "a.x")["format"] == "webp"


def test_one_output_is_delivered_and_no_photo_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(DATA)
    target = tmp_path / "new" / "b.png"
    deliver(job(outputs=("a.png",)), tmp_path, str(target), None)  # type: ignore[arg-type]
    assert target.read_bytes() == DATA
    assert [path.name for path in target.parent.iterdir()] == ["b.png"]
    with pytest.raises(OutputExists, match="is there already"):
        check_target(str(target), False)
    check_target(str(target), True)
    check_target("-", False)


def test_failures_are_a_table_that_is_gone_when_there_are_none(tmp_path: Path) -> None:
    path = tmp_path / "failed.csv"
    assert write_failures([job(code="x", message='two "words", one comma')], path) == 1
    assert path.read_text().splitlines() == ["photo,code,message", 'shoes/a.jpg,x,"two ""words"", one comma"']
    assert write_failures([], path) == 0
    assert not list(tmp_path.iterdir())


def test_progress_is_told_in_plain_words() -> None:
    assert describe_progress(Tally(total=1200)) == "0 of 1,200 found so far done"
    tally = Tally(total=500, ok=118, failed=2, complete=True, seconds=15)
    assert describe_progress(tally) == "118 of 500 done, 2 failed, 8.0 img/s, 48 s left"
    assert [describe_seconds(s) for s in (3.4, 600, 12_000)] == ["3 s", "10 min", "3 h 20 min"]


def test_a_full_disk_leaves_the_only_copy_in_the_inbox_for_the_next_command(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = Inbox(tmp_path / "inbox", "token")
    inbox.open()
    made = tmp_path / "inbox/token/outputs/a-1/cutout-0.png"
    made.parent.mkdir()
    made.write_bytes(DATA)
    saver = Saver(out, lambda uri: b"", inbox)
    saver.open()
    result = ok(stored(uri_of(str(made))))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(saving.os, "replace", full)
        with pytest.raises(OutputsNotWritten, match="no space is left"):
            saver(job(), result)
    assert saver(job(), result).state == "ok"
    assert (out / "shoes/a.png").read_bytes() == DATA
    assert not made.exists()


def test_an_output_that_somebody_removed_fails_its_photo_alone(tmp_path: Path, out: Path) -> None:
    inbox = Inbox(tmp_path / "inbox", "token")
    inbox.open()
    saver = Saver(out, lambda uri: b"", inbox)
    saver.open()
    outcome = saver(job(), ok(stored(uri_of(str(tmp_path / "inbox/token/outputs/a-1/cutout-0.png")))))
    assert (outcome.state, outcome.code) == ("failed", "output_gone")


def test_no_output_replaces_its_own_photo(tmp_path: Path) -> None:
    photo = tmp_path / "shoes/a.png"
    photo.parent.mkdir()
    photo.write_bytes(b"the photo")
    saver = Saver(tmp_path, lambda uri: DATA, overwrite=True)
    saver.open()
    its_job = replace(job(), source=uri_of(str(photo)))
    with pytest.raises(OutputExists, match="the photo itself"):
        saver.check_free(its_job, ("cutout",), "png")
    assert saver(its_job, ok(stored("s3://b/x"))).code == "output_exists"
    assert photo.read_bytes() == b"the photo"


def test_an_output_that_somebody_has_changed_is_not_as_it_was_left(saver: Saver, out: Path) -> None:
    outcome = saver(job(), ok(stored("s3://bucket/x.png")))
    done = job(outputs=outcome.outputs, stamps=outcome.stamps, written={"shoes/a.png": (sha256(DATA).hexdigest(),)})
    path = out / "shoes/a.png"
    assert are_there(out, done)
    os.utime(path, ns=(1, 1))
    assert are_there(out, done), "a copy has another time"
    path.write_bytes(b"A CUTOUT")
    assert not are_there(out, done), "of the same size"
    path.write_bytes(b"MINE\n")
    assert not are_there(out, done)
    assert are_there(out, job(outputs=outcome.outputs)), "an earlier release has noted no sizes"
    path.unlink()
    path.mkdir()
    assert not are_there(out, done)
    with pytest.raises(OutputExists, match="is a folder"):
        saver.check_free(done, ("cutout",), "png")


def test_failures_hold_no_formulas_and_steer_no_terminal_and_their_names_lead_to_the_photos(tmp_path: Path) -> None:
    names = ("=1+1.jpg", "-x.jpg", "@a.jpg", "+1.jpg", "a=b.jpg")
    jobs = [replace(job(code="x", message="=HYPERLINK()"), name=name) for name in (*names, "\x1b[31m.jpg")]
    write_failures(jobs, tmp_path / "failed.csv")
    with (tmp_path / "failed.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert [os.path.normpath(row[0]) for row in rows] == [*names, "\\u001b[31m.jpg"]
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]

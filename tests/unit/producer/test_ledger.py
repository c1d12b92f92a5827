"""The ledger: what was sent, what came back, and what is to be done."""

from __future__ import annotations

import sqlite3
from itertools import count
from pathlib import Path

import pytest

from producer.ledger import Entry, Ledger, LedgerUnusable, Outcome, look_up


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "ledger.db"


def entry(name: str, version: str = "1", placed: bool = False) -> Entry:
    stems = (lambda: (f"{name}{n or ''}" for n in count())) if placed else None
    return Entry(f"{name}-{version}", f"file:///{name}", f"{name}.jpg", stems)


def ok(id: str, replay: int = 0, *outputs: str) -> Outcome:
    return Outcome(id, replay, "ok", outputs=outputs)


def failed(id: str, replay: int = 0) -> Outcome:
    return Outcome(id, replay, "failed", "file_too_large", "31 MB")


def test_a_photo_is_sent_once(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.begin("stream")
        assert ledger.add([entry("a"), entry("b"), entry("a")]).twice == 1
        jobs = ledger.take(10)
        assert [job.id for job in jobs] == ["a-1", "b-1"]
        assert (ledger.take(10), ledger.unsent, ledger.waiting) == ([], 0, 2)
        ledger.note_sent(jobs, "requests", {0: 2})
        ledger.settle([ok("a-1"), failed("b-1")], "results", {0: 5})
        assert (ledger.waiting, dict(ledger.counts)) == (0, {"new": 2, "ok": 1, "failed": 1})
        assert [job.code for job in ledger.failures()] == ["file_too_large"]
    with Ledger(path) as ledger:
        ledger.begin("stream")
        assert ledger.positions("results") == {0: 5}
        assert ledger.positions("requests") == {0: 2}
        added = ledger.add([entry("a"), entry("b"), entry("c")])
        assert (added.done, added.new) == (1, 2)
        assert [(job.id, job.replay) for job in ledger.take(10)] == [("b-1", 1), ("c-1", 0)]


def test_a_changed_photo_is_another_job_in_the_same_place(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.begin("stream")
        ledger.add([entry("a", placed=True)])
        (job,) = ledger.take(1)
        ledger.note_intended([(job, {"a.png": "first"})])
        ledger.note_intended([(job, {"a.png": "second"})])
        ledger.settle([ok("a-1", 0, "a.png")])
        ledger.begin("stream")
        assert ledger.add([entry("a", "2", placed=True)]).new == 1
        (job,) = ledger.take(1)
        assert (job.id, job.stem, job.written) == ("a-2", "a", {"a.png": ["second"]})
        ledger.note_intended([(job, {"a.webp": "third"})])
        ledger.settle([ok("a-2", 0, "a.webp")])
        ledger.begin("stream")
        assert ledger.add([entry("a", "1", placed=True)]).new == 1, "its outputs were replaced"
        assert ledger.take(1)[0].written == {"a.png": ["second"], "a.webp": ["third"]}


def test_a_command_that_was_killed_still_knows_what_it_was_about_to_write(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.begin("stream")
        ledger.add([entry("a", placed=True)])
        ledger.note_intended([(ledger.take(1)[0], {"a.png": "digest"})])
    with Ledger(path) as ledger:
        ledger.begin("another stream, as each command has its own")
        assert ledger.add([entry("a", placed=True)]).new == 1
        assert ledger.take(1)[0].written == {"a.png": ["digest"]}


def test_a_photo_that_was_moved_keeps_its_place_and_is_done(path: Path) -> None:
    def at(source: str, version: str) -> Entry:
        return Entry(
            f"{source} {version}",
            source,
            "a.jpg",
            lambda: (f"a{k or ''}" for k in count()),
            lambda address: f"{address} {version}" if address == "file:///before" else None,
        )

    with Ledger(path) as ledger:
        ledger.begin("stream")
        ledger.add([at("file:///before", "1")])
        ledger.take(1)
        ledger.settle([ok("file:///before 1", 0, "a.png")])
        ledger.begin("stream")
        assert ledger.add([at("file:///other", "2")]).new == 1, "another photo that took its name"
        assert ledger.take(1)[0].stem == "a1"
        assert ledger.add([at("file:///after", "1")]).done == 1
        assert look_up(path, "file:///after")[0].outputs == ("a.png",)


def test_no_two_photos_have_the_same_place(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.begin("stream")
        same = [Entry(f"{n}", f"file:///{n}", "a.jpg", lambda: (f"a{k or ''}" for k in count())) for n in range(3)]
        ledger.add(same)
        assert [job.stem for job in ledger.take(9)] == ["a", "a1", "a2"]


def test_outputs_that_are_gone_are_made_again(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.begin("stream")
        ledger.add([entry("a", placed=True)])
        ledger.take(1)
        ledger.settle([ok("a-1", 0, "a.png")])
        ledger.begin("stream")
        assert ledger.is_done(entry("a", placed=True), lambda job: job.outputs == ("a.png",))
        assert not ledger.is_done(entry("b", placed=True), lambda job: True)
        assert ledger.add([entry("a", placed=True)], is_there=lambda job: False).new == 1
        assert ledger.take(1)[0].replay == 1


def test_doubts_of_a_killed_command_are_settled(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.begin("stream")
        ledger.add([entry("a"), entry("b"), entry("c")])
        ledger.take(2)
    with Ledger(path) as ledger:
        ledger.begin("stream")
        assert ledger.doubtful() == {"a-1", "b-1"}
        ledger.resolve({"a-1", "another"})
        assert ledger.doubtful() == set()
        added = ledger.add([entry("a"), entry("b"), entry("c")])
        assert (added.on_their_way, added.new, ledger.waiting) == (1, 2, 1)
        assert [(job.id, job.replay) for job in ledger.take(9)] == [("b-1", 0), ("c-1", 0)]


def test_only_what_a_command_names_is_sent(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.begin("stream")
        ledger.add([entry("a"), entry("b")])
        ledger.begin("stream")
        ledger.add([entry("b")])
        assert [job.id for job in ledger.take(9)] == ["b-1"]


def test_again_sends_what_is_on_its_way_and_what_is_done(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.begin("stream")
        ledger.add([entry("a"), entry("b")])
        ledger.note_sent(ledger.take(2), "requests", {0: 2})
        ledger.settle([ok("a-1")])
        ledger.begin("stream")
        assert ledger.add([entry("a"), entry("b")], again=True).new == 2
        assert [(job.id, job.replay) for job in ledger.take(9)] == [("a-1", 1), ("b-1", 1)]


def test_what_waits_on_another_stream_will_never_come(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.begin("stream")
        ledger.add([entry("a")])
        ledger.note_sent(ledger.take(1), "requests", {0: 1})
        ledger.begin("another")
        assert ledger.positions("requests") == {}
        assert ledger.add([entry("a")]).new == 1


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([failed("a-1"), ok("a-1")], ("failed", 0)),
        ([ok("a-1"), failed("a-1")], ("ok", 0)),
        ([failed("a-1"), ok("a-1", 1)], ("ok", 1)),
        ([ok("a-1", 2), failed("a-1", 1)], ("ok", 2)),
    ],
)
def test_the_first_result_of_the_last_replay_counts(path: Path, outcomes: list[Outcome], expected: object) -> None:
    with Ledger(path) as ledger:
        ledger.begin("stream")
        ledger.add([entry("a")])
        ledger.take(1)
        ledger.settle([*outcomes, ok("unknown")])
        job = ledger.find("a-1")
        assert job is not None
        assert (job.state, job.replay) == expected
        assert ledger.waiting == 0


def test_two_commands_cannot_write_one_ledger_but_anybody_may_look(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.begin("stream")
        ledger.add([entry("a")])
        with pytest.raises(LedgerUnusable, match="another command"), Ledger(path):
            pass
        assert [job.id for job in look_up(path, "file:///a")] == ["a-1"]
    assert look_up(path.with_name("none.db"), "file:///a") == []


def test_a_file_that_is_no_ledger_is_named(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database" * 100)
    with pytest.raises(LedgerUnusable, match="move it away"), Ledger(path):
        pass
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(LedgerUnusable, match="another release"), Ledger(path):
        pass
    with pytest.raises(LedgerUnusable, match="cannot be written"), Ledger(path / "below" / "x.db"):
        pass


def test_sizes_of_outputs_are_remembered_and_older_ledgers_have_none(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.begin("stream")
        ledger.add([entry("a", placed=True)])
        ledger.take(1)
        ledger.settle([Outcome("a-1", 0, "ok", outputs=("a.png",), stamps=((5, 7),))])
        assert ledger.is_done(entry("a", placed=True), lambda job: job.stamps == ((5, 7),))
        ledger.begin("stream")
        assert ledger.add([entry("a", placed=True)], is_there=lambda job: job.stamps == ((5, 7),)).done == 1
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE job DROP COLUMN stamps")
    db.close()
    with Ledger(path) as ledger:
        assert ledger.is_done(entry("a", placed=True), lambda job: job.stamps == ())


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        ("database or disk is full", "make room"),
        ("disk I/O error", "ulimit -f"),
        ("attempt to write a readonly database", "may not write"),
        ("database is locked", "another program"),
        ("database disk image is malformed", "move it away"),
    ],
)
def test_only_a_damaged_ledger_is_to_be_moved_away(path: Path, error: str, advice: str) -> None:
    with Ledger(path) as ledger, pytest.raises(LedgerUnusable, match=advice) as caught, ledger._transaction():
        raise sqlite3.OperationalError(error)
    assert ("move it away" in str(caught.value)) == (advice == "move it away")

"""What is kept beside the jars: found only if it is whole and made for these jars and this Java."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec
import pytest

from cutstream.errors import StackError
from cutstream.settings import StackSettings
from deploy.local import head_start, training
from deploy.local.head_start import (
    CACHE,
    MADE,
    PREFIX,
    STORAGE,
    HeadStart,
    Made,
    ensure_head_start,
    find_head_start,
    folder_of,
)
from deploy.local.jars import Jar, digest
from deploy.local.kafka import Cluster, Node, prepare_node

JARS = [Jar("org.example", "broker", "1", "aa"), Jar("org.example", "clients", "1", "bb")]
META = "#\nversion=1\ncluster.id=of-the-training\nnode.id=1\ndirectory.id=some\n"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackSettings:
    """Settings with jars and a Java that are empty files."""
    java = tmp_path / "jdk" / "bin" / "java"
    jars = tmp_path / "jars"
    for path in (java, *(java.parents[1] / name for name in ("release", "lib/modules", "lib/server/libjvm.so"))):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    jars.mkdir()
    for jar in JARS:
        (jars / jar.file).touch()
    monkeypatch.setattr(head_start, "read_lock", lambda: JARS)
    monkeypatch.setattr(head_start, "java", lambda settings: java)
    monkeypatch.setattr(training, "ensure_jars", lambda folder: [folder / jar.file for jar in JARS])
    (tmp_path / "state").mkdir()
    return StackSettings(state=tmp_path / "state", jars=jars)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Replace the training by one that writes files at once, and record its calls."""
    calls: list[Path] = []

    def train(settings: StackSettings, scratch: Path, made: Path) -> None:
        calls.append(made)
        (made / STORAGE).mkdir()
        (made / STORAGE / "meta.properties").write_text(META)
        (made / CACHE).write_bytes(b"classes")

    monkeypatch.setattr(training, "_train", train)
    return calls


def test_it_is_made_once_and_found_from_then_on(settings: StackSettings, trained: list[Path]) -> None:
    said: list[str] = []
    assert find_head_start(settings) is None
    for _ in range(2):
        ensure_head_start(settings, said.append)
    folder = folder_of(settings)
    assert folder
    assert find_head_start(settings) == HeadStart(folder / CACHE, folder / STORAGE)
    assert len(trained) == 1
    assert said == ["preparing Kafka for quick starts: this is done once and takes about 15 s"]
    assert list(settings.state.iterdir()) == []


def test_a_damaged_one_is_not_used_but_made_anew(settings: StackSettings, trained: list[Path]) -> None:
    ensure_head_start(settings, lambda text: None)
    folder = folder_of(settings)
    assert folder
    (folder / CACHE).write_bytes(b"classe")
    assert find_head_start(settings) is None
    ensure_head_start(settings, lambda text: None)
    assert find_head_start(settings), "it is made anew"
    assert len(trained) == 2


@pytest.mark.parametrize("changed", ["jars/broker-1.jar", "jdk/lib/server/libjvm.so"])
def test_another_one_is_made_for_other_jars_or_another_java(
    settings: StackSettings, trained: list[Path], tmp_path: Path, changed: str
) -> None:
    ensure_head_start(settings, lambda text: None)
    os.utime(tmp_path / changed, (1, 1))
    assert find_head_start(settings) is None
    ensure_head_start(settings, lambda text: None)
    assert find_head_start(settings)
    assert len(trained) == 2


def test_few_old_ones_are_kept(settings: StackSettings, trained: list[Path]) -> None:
    for age in range(5):
        os.utime(settings.jars / JARS[0].file, (age, age))
        ensure_head_start(settings, lambda text: None)
        folder = folder_of(settings)
        assert folder
        os.utime(folder, (age, age))
    assert len(trained) == 5
    assert len([path for path in settings.jars.glob(f"{PREFIX}*") if path.is_dir()]) == 3
    assert find_head_start(settings), "the newest stays"


def test_a_java_of_the_users_own_gets_none(settings: StackSettings, trained: list[Path]) -> None:
    own = settings.model_copy(update={"java": Path("/usr/bin/java")})
    ensure_head_start(own, lambda text: None)
    assert folder_of(own) is None
    assert find_head_start(own) is None
    assert trained == []


def test_a_training_that_fails_is_told_and_not_repeated_at_each_start(
    settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def fail(*_: object) -> None:
        tries.append(1)
        raise StackError("kafka ended with code 1")

    monkeypatch.setattr(training, "_train", fail)
    said: list[str] = []
    for _ in range(2):
        ensure_head_start(settings, said.append)
    assert len(tries) == 1
    assert said[1:] == ["Kafka is not prepared, so that each start takes some seconds longer: kafka ended with code 1"]
    folder = folder_of(settings)
    assert folder
    assert find_head_start(settings) is None
    os.utime(folder / MADE, (1, 1))
    ensure_head_start(settings, said.append)
    assert len(tries) == 2, "it may have been a bad day"


def test_while_another_process_makes_it_nobody_waits(settings: StackSettings, trained: list[Path]) -> None:
    with training._only_one(settings.jars / f"{PREFIX}lock") as is_alone:
        assert is_alone
        ensure_head_start(settings, lambda text: pytest.fail(text))
    assert trained == []


def test_a_folder_of_jars_that_is_read_only_does_without(settings: StackSettings, monkeypatch, trained) -> None:
    def refuse(path: str, flags: int) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(training, "open_unplanted", refuse)
    said: list[str] = []
    ensure_head_start(settings, said.append)
    assert "Permission denied" in said[0]
    assert trained == []


def test_a_note_that_was_never_finished_counts_as_none(settings: StackSettings) -> None:
    folder = folder_of(settings)
    assert folder
    folder.mkdir()
    for text in (b"", b"{", msgspec.json.encode(Made())):
        (folder / MADE).write_bytes(text)
        assert find_head_start(settings) is None


def test_a_node_that_is_alone_copies_the_storage_under_its_own_name(tmp_path: Path) -> None:
    formatted = tmp_path / "storage"
    (formatted / "__cluster_metadata-0").mkdir(parents=True)
    (formatted / "__cluster_metadata-0" / "0-0.checkpoint").write_bytes(b"voters")
    (formatted / "meta.properties").write_text(META)
    cluster = Cluster((node := Node(1, "127.0.0.1", 1234, 1235),))
    command = prepare_node(
        node, cluster, tmp_path / "kafka", ["java", "-cp", "x"], None, HeadStart(tmp_path / CACHE, formatted)
    )
    assert command[:1] == ["java"]
    assert f"-XX:AOTCache={tmp_path / CACHE}" in command
    data = tmp_path / "kafka" / "data"
    assert (data / "__cluster_metadata-0" / "0-0.checkpoint").read_bytes() == b"voters"
    assert (data / "meta.properties").read_text() == META.replace("of-the-training", cluster.id)


def test_a_digest_is_that_of_all_bytes(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(700_000))
    assert digest(tmp_path / "large") == hashlib.sha256(bytes(700_000)).hexdigest()
    assert digest(tmp_path / "none") is None

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cutstream.errors import StackError
from deploy.local import jars
from deploy.local.jars import Jar, coordinate, ensure_jars, read_lock

GOOD = b"the published jar"
JAR = Jar("org.example", "broker", "1.2", hashlib.sha256(GOOD).hexdigest())


class Repository:
    """A replacement for Maven Central that returns `content` and records the requests."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.requested: list[str] = []

    def __call__(self, scratch: Path, jar: Jar) -> Path:
        self.requested.append(jar.coordinate)
        path = scratch / jar.file
        path.write_bytes(self.content)
        return path


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Repository:
    repository = Repository(GOOD)
    monkeypatch.setattr(jars, "resolve", repository)
    monkeypatch.setattr(jars, "read_lock", lambda: [JAR])
    return repository


def test_jars_are_downloaded_once(tmp_path: Path, repository: Repository) -> None:
    assert ensure_jars(tmp_path / "jars") == [tmp_path / "jars" / "broker-1.2.jar"]
    ensure_jars(tmp_path / "jars")
    assert repository.requested == ["org.example:broker:1.2"]
    assert [path.name for path in (tmp_path / "jars").iterdir()] == ["broker-1.2.jar"]


def test_a_damaged_jar_is_replaced(tmp_path: Path, repository: Repository) -> None:
    (tmp_path / JAR.file).write_bytes(GOOD[:5])
    ensure_jars(tmp_path)
    assert (tmp_path / JAR.file).read_bytes() == GOOD


def test_an_altered_jar_is_refused_and_not_kept(tmp_path: Path, repository: Repository) -> None:
    repository.content = b"something else"
    with pytest.raises(StackError, match=r"org\.example:broker:1\.2 was downloaded with SHA-256 .* altered it"):
        ensure_jars(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_committed_lock_names_each_jar_once() -> None:
    locked = read_lock()
    assert len({jar.file for jar in locked}) == len(locked)
    assert all(len(bytes.fromhex(jar.sha256)) == 32 for jar in locked)
    assert {"kafka_2.13-4.4.0.jar", "kafka-clients-4.4.0.jar"} <= {jar.file for jar in locked}


def test_a_jars_place_in_a_repository_says_its_coordinate() -> None:
    place = Path("repository/org/apache/kafka/kafka_2.13/4.4.0/kafka_2.13-4.4.0.jar")
    assert coordinate(place, Path("repository")) == "org.apache.kafka:kafka_2.13:4.4.0"


def test_without_network_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("jgo.util.http.get", unreachable)
    with pytest.raises(
        StackError, match=r"no route to host.*CUTSTREAM_STACK__JARS.*CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS"
    ):
        jars.resolve(tmp_path, JAR)

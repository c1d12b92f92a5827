"""Where workers read a photo from, for a client that can only send its address."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cutstream.client import NotReachable
from cutstream.client.reachable import Reachable
from cutstream.clients.objects import files
from cutstream.errors import AddressNotAllowed, RefusedAddress
from cutstream.settings import KafkaSettings, ObjectSettings, Settings, StackSettings, addressed
from deploy.local.allowed import noted


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    file = tmp_path / "elsewhere" / "shoe.jpg"
    file.parent.mkdir()
    file.write_bytes(b"a photo")
    return file


@contextmanager
def stack(tmp_path: Path, *roots: str) -> Iterator[Reachable]:
    """A local stack that runs: its worker may read these folders of the test."""
    state = StackSettings(state=tmp_path / "state")
    (tmp_path / "state" / "inbox").mkdir(parents=True)
    with noted(ObjectSettings(file_roots=tuple(tmp_path / root for root in roots)), state):
        yield Reachable(addressed(Settings(stack=state)), local_stack=True)


def behind(brokers: str) -> Reachable:
    return Reachable(Settings(kafka=KafkaSettings(bootstrap_servers=brokers)), local_stack=False)


@pytest.mark.parametrize("brokers", ["127.0.0.1:9092", "localhost:9092", "[::1]:9092,127.0.0.2:9092"])
def test_workers_on_this_machine_are_taken_to_read_its_files(brokers: str, photo: Path) -> None:
    assert behind(brokers).address_of(photo, "a") == photo.as_uri()


@pytest.mark.parametrize("brokers", ["broker:9092", "localhost:9092,kafka.example.org:9092", "10.0.0.7:9092"])
def test_workers_elsewhere_read_addresses_only(brokers: str, photo: Path) -> None:
    with pytest.raises(NotReachable, match=r"shoe\.jpg is on this machine, .* give a file:// address"):
        behind(brokers).address_of(photo, "a")
    assert behind(brokers).address_of(photo.as_uri(), "a") == photo.as_uri()


def test_kafka_carries_no_bytes() -> None:
    with pytest.raises(NotReachable, match="Kafka carries addresses, not photos"):
        behind("broker:9092").address_of(b"a photo", "a")


def test_a_file_that_the_stack_may_read_is_read_where_it_is(tmp_path: Path, photo: Path) -> None:
    with stack(tmp_path, "elsewhere", "state/inbox") as reachable:
        assert reachable.address_of(photo, "a") == photo.as_uri()
        reachable.release("a")
    assert photo.exists()


def test_other_files_and_bytes_are_lent_until_the_result_is_there(tmp_path: Path, photo: Path) -> None:
    with stack(tmp_path, "state/inbox") as reachable:
        for source, id, suffix in ((photo, "a", ".jpg"), (b"a photo", "b", "")):
            address = reachable.address_of(source, id)
            lent = Path(files.path_of(address))
            assert (lent.parent, lent.suffix) == (tmp_path / "state" / "inbox", suffix)
            assert lent.read_bytes() == b"a photo"
            reachable.release(id)
            assert not lent.exists()
    assert photo.exists()


def test_a_stack_without_an_inbox_names_the_setting(tmp_path: Path, photo: Path) -> None:
    with stack(tmp_path) as reachable:
        with pytest.raises(NotReachable, match="CUTSTREAM_OBJECTS__FILE_ROOTS"):
            reachable.address_of(photo, "a")
        with pytest.raises(NotReachable, match="Kafka carries addresses"):
            reachable.address_of(b"a photo", "b")


def test_an_address_that_the_stack_refuses_is_not_sent(tmp_path: Path, photo: Path) -> None:
    with stack(tmp_path, "state/inbox") as reachable:
        with pytest.raises(AddressNotAllowed):
            reachable.address_of(photo.as_uri(), "a")
        with pytest.raises(RefusedAddress):
            reachable.address_of("ftp://example.org/shoe.jpg", "a")
        assert reachable.address_of("s3://any/shoe.jpg", "a") == "s3://any/shoe.jpg"


def test_what_a_killed_client_has_lent_is_removed_after_a_week(tmp_path: Path, photo: Path) -> None:
    with stack(tmp_path, "state/inbox") as reachable:
        reachable.address_of(photo, "old")
        reachable.address_of(photo, "new")
        inbox = tmp_path / "state" / "inbox"
        (old,) = inbox.glob("*old*")
        os.utime(old, (1_000_000_000, 1_000_000_000))
        (inbox / "of others").touch()
        os.utime(inbox / "of others", (1_000_000_000, 1_000_000_000))
        Reachable(addressed(Settings(stack=StackSettings(state=tmp_path / "state"))), local_stack=True)
        assert sorted(file.name for file in inbox.iterdir()) == ["lent-new.jpg", "of others"]


def test_a_copy_that_cannot_be_made_is_named(tmp_path: Path, photo: Path) -> None:
    with stack(tmp_path, "state/inbox") as reachable:
        (tmp_path / "state" / "inbox").rmdir()
        with pytest.raises(NotReachable, match="cannot be written"):
            reachable.address_of(photo, "a")

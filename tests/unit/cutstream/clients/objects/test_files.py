from __future__ import annotations

import ctypes
import errno
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutstream.clients.objects import files
from cutstream.errors import CutstreamError, RefusedAddress, SourceFailed, SourceUnavailable, StoreUnavailable


@given(st.binary(min_size=1, max_size=40).map(lambda name: b"/" + name.replace(b"\0", b"")))
def test_an_address_names_the_path_it_was_made_of(raw: bytes) -> None:
    path = os.path.normpath(os.fsdecode(raw)).replace("//", "/")
    assert files.path_of(files.uri_of(path)) == path


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///a?b#c", "/a?b#c"),
        ("file:///a%3Fb%23c", "/a?b#c"),
        ("file:///a+b;c", "/a+b;c"),
        ("file:///%zz", "/%zz"),
        ("file:///%2e%2e/a", "/../a"),
        ("file:////a", "//a"),
        ("file:///e\u0301", "/e\u0301"),
        ("file:///\u00e9", "/\u00e9"),
    ],
)
def test_only_percent_encodings_are_read(uri: str, path: str) -> None:
    assert files.path_of(uri) == path


def test_the_local_host_may_be_named() -> None:
    assert files.path_of("file://localhost/a%20b") == files.path_of("FILE:///a%20b") == "/a b"


@pytest.mark.parametrize(
    "uri", ["file://host/photo.jpg", "file://photo.jpg", "file://", "file:///a%00b", "file://../x"]
)
def test_malformed_addresses_are_refused(uri: str) -> None:
    with pytest.raises(RefusedAddress, match="file:///absolute/path"):
        files.path_of(uri)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    (tmp_path / "rooted").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    return tmp_path / "root"


@pytest.mark.parametrize(
    "path", ["../secret", "sub/../../secret", "../rooted/x", "..", "../missing", "link", "dir/secret"]
)
def test_nothing_outside_the_folder_is_reached(root: Path, path: str) -> None:
    (root / "link").symlink_to(root.parent / "secret")
    (root / "dir").symlink_to(root.parent)
    with pytest.raises(RefusedAddress, match="CUTSTREAM_OBJECTS__FILE_ROOTS"):
        files.AllowedFolders([root]).resolve(f"{root}/{path}")


def test_a_link_within_the_folder_is_followed(root: Path) -> None:
    (root / "photo").write_bytes(b"photo")
    (root / "link").symlink_to("photo")
    assert files.read(files.AllowedFolders([root]).resolve(f"{root}/link"), 100) == b"photo"


def test_the_folder_itself_may_be_a_link(root: Path) -> None:
    (root.parent / "alias").symlink_to(root)
    assert files.AllowedFolders([root.parent / "alias"]).resolve(f"{root}/photo") == f"{root}/photo"


def test_the_file_systems_root_holds_everything() -> None:
    assert files.AllowedFolders(["/"]).resolve("/etc") == os.path.realpath("/etc")


def test_without_folders_everything_is_refused(root: Path) -> None:
    with pytest.raises(RefusedAddress):
        files.AllowedFolders([]).resolve(str(root))


def test_a_fifo_does_not_hang(root: Path) -> None:
    os.mkfifo(root / "fifo")
    with pytest.raises(SourceFailed, match="not a regular file"):
        files.read(f"{root}/fifo", 100)


@pytest.mark.parametrize("path", ["missing", "", "folder", "photo/below", "x" * 300])
def test_what_is_not_a_readable_file_fails_and_leaks_nothing(root: Path, path: str) -> None:
    (root / "photo").write_bytes(b"")
    (root / "folder").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(SourceFailed):
        files.read(f"{root}/{path}", 100)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.ETIMEDOUT])
def test_what_may_pass_is_tried_again(root: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def failing(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "open", failing)
    with pytest.raises(SourceUnavailable, match=os.strerror(number)):
        files.read(f"{root}/photo", 100)


def test_an_object_is_whole_or_not_there(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write(f"{root}/job/k.png", b"before")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StoreUnavailable, match="No space left"):
        files.write(f"{root}/job/k.png", b"after")
    assert (root / "job" / "k.png").read_bytes() == b"before"
    assert [path.name for path in (root / "job").iterdir()] == ["k.png"]


def test_others_may_read_an_object_as_the_umask_says(root: Path) -> None:
    files.write(f"{root}/k.png", b"")
    (root / "plain").touch()
    assert (root / "k.png").stat().st_mode == (root / "plain").stat().st_mode


def test_an_object_cannot_take_a_folders_place(root: Path) -> None:
    (root / "folder").mkdir()
    with pytest.raises(RefusedAddress):
        files.write(f"{root}/folder", b"")
    assert list(root.iterdir()) == [root / "folder"]


def test_a_folder_is_made_however_deep_it_is(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = f"{root}{'/a' * 1500}"
    files.write(f"{deep}/k.png", b"x")
    assert files.read(f"{deep}/k.png", 1) == b"x"
    monkeypatch.chdir(root)
    for _ in range(1500):  # shutil removes by recursion
        os.chdir("a")
    Path("k.png").unlink()
    for _ in range(1500):
        os.chdir("..")
        os.rmdir("a")


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EILSEQ, errno.ELOOP])
@pytest.mark.parametrize("call", ["mkdir", "replace"])
def test_a_name_that_the_file_system_cannot_hold_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, call, failing)
    with pytest.raises(RefusedAddress, match=os.strerror(number)):
        files.write(f"{root}/job/k.png", b"")


def test_a_folder_that_cannot_be_synced_is_waited_for(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync = os.fsync

    def failing(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(descriptor)

    monkeypatch.setattr(files.os, "fsync", failing)
    with pytest.raises(StoreUnavailable, match="Invalid argument"):
        files.write(f"{root}/k.png", b"")


def test_a_file_below_what_is_no_folder_cannot_be_made(root: Path) -> None:
    files.check_writable(f"{root}/a/b/k.png")
    (root / "a").touch()
    with pytest.raises(RefusedAddress, match="/root/a is not a folder"):
        files.check_writable(f"{root}/a/b/k.png")


@pytest.fixture
def outside(root: Path) -> Path:
    """A folder beside the root, with a file of the same name as one inside."""
    for folder in (root / "sub", root.parent / "outside"):
        (folder / "below").mkdir(parents=True)
        for photo in (folder / "photo", folder / "below" / "photo"):
            photo.write_bytes(folder.name.encode())
    return root.parent / "outside"


def swap_in(link: Path, outside: Path) -> None:
    link.rename(link.parent / "kept")
    link.symlink_to(outside)


@pytest.mark.parametrize("path", ["photo", "below/photo"])
def test_a_link_that_takes_a_folders_place_after_the_check_leads_nowhere(root: Path, outside: Path, path: str) -> None:
    real = files.AllowedFolders([root]).resolve(f"{root}/sub/{path}")
    swap_in(root / "sub", outside)
    with pytest.raises(SourceFailed, match="Not a directory"):
        files.read(real, 100)
    with pytest.raises(RefusedAddress, match="Not a directory"):
        files.write(real, b"new")
    with pytest.raises(RefusedAddress, match="Not a directory"):
        files.write(f"{root}/sub/new/k.png", b"new")
    assert (outside / path).read_bytes() == b"outside"
    assert sorted(outside.iterdir()) == [outside / "below", outside / "photo"]


def test_a_link_that_takes_a_files_place_after_the_check_leads_nowhere(root: Path, outside: Path) -> None:
    real = files.AllowedFolders([root]).resolve(f"{root}/sub/photo")
    (root / "sub" / "photo").unlink()
    (root / "sub" / "photo").symlink_to(outside / "photo")
    with pytest.raises(SourceFailed, match="symbolic links"):
        files.read(real, 100)
    files.write(real, b"new")  # takes the link's place
    assert (outside / "photo").read_bytes() == b"outside"
    assert not (root / "sub" / "photo").is_symlink()


@contextmanager
def swapping(folder: Path, outside: Path) -> Iterator[None]:
    """Let the folder and a link to the outside take each other's place as fast as possible, until the block ends."""
    link, done, libc = folder.parent / "link", threading.Event(), ctypes.CDLL(None)
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE

    def swap() -> None:
        while not done.is_set():
            libc.renameat2(here, bytes(folder), here, bytes(link), exchange)

    link.symlink_to(outside)
    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_no_race_between_check_and_open_leads_outside(
    root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.os, "fsync", lambda descriptor: None)
    allowed, before = files.AllowedFolders([root]), sorted(outside.rglob("*"))
    (root / "sub" / "photo").write_bytes(b"inside")
    read = written = 0
    with swapping(root / "sub", outside):
        for number in range(4000):
            with suppress(CutstreamError):
                assert files.read(allowed.resolve(f"{root}/sub/photo"), 100) == b"inside"
                read += 1
            with suppress(CutstreamError):
                files.write(allowed.resolve(f"{root}/sub/{number}/k.png"), b"")
                written += 1
    assert sorted(outside.rglob("*")) == before
    assert (outside / "photo").read_bytes() == b"outside"
    assert read
    assert written


def test_a_folder_that_may_be_passed_but_not_listed_is_no_obstacle(root: Path) -> None:
    (root / "private").mkdir()
    (root / "private" / "photo").write_bytes(b"photo")
    (root / "private").chmod(0o311)
    assert files.read(f"{root}/private/photo", 100) == b"photo"


def test_devices_and_sockets_are_no_sources(root: Path) -> None:
    with pytest.raises(SourceFailed, match="not a regular file"):
        files.read("/dev/zero", 100)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{root}/socket")
        with pytest.raises(SourceFailed, match="No such device or address"):
            files.read(f"{root}/socket", 100)

"""What another account of this machine can do with a state folder that it can reach: nothing."""

from __future__ import annotations

import os
import pwd
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cutstream.errors import ConfigurationError, StackError
from cutstream.ownership import why_shared
from cutstream.settings import ObjectSettings, Settings, StackSettings, identity_of
from deploy.local.allowed import noted
from deploy.local.identity import OPENSSL, ensure_identity
from deploy.local.state import lock_state, private_folder, throwaway

MALLORY = 65534
OTHER_GROUP = 65534
FOLDERS = ("kafka", "triton", "logs", "private")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another account")
with_openssl = pytest.mark.skipif(not shutil.which(OPENSSL), reason="openssl is not installed")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of the operator, to which another account makes links."""
    file = tmp_path / "victim"
    file.write_text("precious")
    return file


def give_away(path: Path) -> None:
    os.chown(path, MALLORY, MALLORY, follow_symlinks=False)


def refused(state: Path, message: str) -> None:
    """Expect that neither kind of stack uses the folder, and that nothing has been written to it."""
    before = sorted(state.rglob("*"))
    with pytest.raises(StackError, match=rf"CUTSTREAM_STACK__STATE: .*{message}"), lock_state(state):
        pass
    with (
        pytest.raises(StackError, match=rf"CUTSTREAM_STACK__STATE: .*{message}"),
        throwaway(Settings(stack=StackSettings(state=state))),
    ):
        pass
    assert sorted(state.rglob("*")) == before


@as_root
def test_a_folder_of_another_user_is_refused(state: Path) -> None:
    give_away(state)
    refused(state, r"state belongs to the user \w+, .*name a folder of your own, .*\(chown root\)")


@as_root
def test_root_does_not_use_a_folder_inside_one_of_another_user(state: Path) -> None:
    (state / "own").mkdir(mode=0o700)
    give_away(state)
    refused(state / "own", r"state belongs to the user \w+, who could replace")
    refused(state / "new" / "folder", r"state belongs to the user \w+, who could replace")
    assert not (state / "new").exists()


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_a_folder_that_others_may_write_is_refused(state: Path, mode: int) -> None:
    state.chmod(mode)
    refused(state, rf"other users may write to .*state \(mode {mode:04o}\) .*\(chmod go-w\)")


def test_one_in_a_folder_that_others_may_write_is_refused_unless_that_is_sticky(state: Path) -> None:
    own = state / "own"
    state.chmod(0o777)
    refused(own, r"other users may write to .*state \(mode 0777\)")
    assert not own.exists()
    state.chmod(0o1777)
    with lock_state(own):
        assert own.stat().st_mode & 0o777 == 0o700
    state.chmod(0o777)
    refused(own, r"other users may write to .*state \(mode 0777\)")


@as_root
def test_a_group_may_write_only_if_its_user_has_it_alone(state: Path) -> None:
    for group, is_refused in ((pwd.getpwuid(0).pw_gid, False), (OTHER_GROUP, True)):
        os.chown(state, 0, group)
        state.chmod(0o775)
        assert bool(why_shared(state)) == bool(why_shared(state / "folder")) == is_refused


def test_a_link_to_a_folder_is_refused_as_a_state_but_may_be_on_the_way(state: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("state")
    refused(link, "link is a link, .*name the folder itself")
    with lock_state(link / "folder"):
        pass


@as_root
def test_links_on_the_way_are_followed_only_if_nobody_else_can_change_them(state: Path, tmp_path: Path) -> None:
    link, behind = tmp_path / "link", tmp_path / "behind"
    behind.symlink_to(state)
    link.symlink_to("behind")
    assert not why_shared(link / "folder")
    give_away(behind)
    assert f"{behind} belongs to" in why_shared(link / "folder")
    link.unlink()
    link.symlink_to("link")
    assert "cannot be looked at" in why_shared(link / "folder")


def test_a_path_that_goes_up_is_checked_where_it_leads(state: Path) -> None:
    (state / "folder").mkdir(mode=0o700)
    assert not why_shared(state / "folder" / "..")
    state.chmod(0o1777)
    assert "may write to" in why_shared(state / "folder" / "..")


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_for_a_server_is_closed_unless_others_could_have_changed_it(
    state: Path, tmp_path: Path, name: str
) -> None:
    folder = state / name
    folder.mkdir(mode=0o755)
    with lock_state(state):
        assert folder.stat().st_mode & 0o777 == 0o700
    (state / "stack.lock").unlink()
    folder.chmod(0o777)
    with pytest.raises(StackError, match=rf"may write to .*{name} \(mode 0777\)"), lock_state(state):
        pass
    folder.rmdir()
    (tmp_path / "theirs").mkdir(mode=0o755)
    folder.symlink_to(tmp_path / "theirs")
    for use in (lambda: lock_state(state).__enter__(), lambda: private_folder(folder)):
        with pytest.raises(StackError, match=f"{name} is a link"):
            use()
    assert (tmp_path / "theirs").stat().st_mode & 0o777 == 0o755
    assert not (state / "stack.lock").exists()


@as_root
@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_for_a_server_that_another_user_has_put_there_is_refused(state: Path, name: str) -> None:
    folder = state / name
    folder.mkdir(mode=0o755)
    give_away(folder)
    with pytest.raises(StackError, match=rf"{name} belongs to the user"), lock_state(state):
        pass
    assert folder.stat().st_mode & 0o777 == 0o755
    assert not (state / "stack.lock").exists()


PLANTS: dict[str, Callable[[Path, Path], object]] = {
    "link": lambda lock, victim: lock.symlink_to(victim),
    "hard link": lambda lock, victim: lock.hardlink_to(victim),
    "pipe": lambda lock, victim: os.mkfifo(lock),
}


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_a_lock_that_is_a_link_or_no_file_is_refused(
    state: Path, victim: Path, plant: Callable[[Path, Path], object]
) -> None:
    plant(state / "stack.lock", victim)
    with pytest.raises(StackError, match=r"stack\.lock is no file of yours: remove it"), lock_state(state):
        pass
    assert victim.read_text() == "precious"


@as_root
def test_a_lock_of_another_user_is_refused(state: Path) -> None:
    (state / "stack.lock").touch()
    give_away(state / "stack.lock")
    with pytest.raises(StackError, match=r"stack\.lock is no file of yours"), lock_state(state):
        pass


def test_a_note_is_not_written_through_a_link(state: Path, victim: Path) -> None:
    (state / "allowed.json").symlink_to(victim)
    with pytest.raises(StackError, match="cannot be written"), noted(ObjectSettings(), StackSettings(state=state)):
        pass
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_a_run_leaves_a_folder_alone_whose_lock_is_planted(
    state: Path, victim: Path, plant: Callable[[Path, Path], object]
) -> None:
    planted = state / "cutstream-run-planted"
    planted.mkdir(mode=0o700)
    plant(planted / "stack.lock", victim)
    make_old(planted)
    with throwaway(Settings(stack=StackSettings(state=state))):
        pass
    assert planted.is_dir()
    assert victim.read_text() == "precious"


@as_root
def test_a_run_leaves_a_folder_of_another_user_alone(state: Path) -> None:
    theirs = state / "cutstream-run-theirs"
    theirs.mkdir()
    (theirs / "stack.lock").touch()
    give_away(theirs)
    make_old(theirs)
    with throwaway(Settings(stack=StackSettings(state=state))):
        pass
    assert (theirs / "stack.lock").exists()


def make_old(folder: Path) -> None:
    os.utime(folder, (time.time() - 3600,) * 2)


@with_openssl
@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_the_key_goes_into_a_file_of_its_own(state: Path, victim: Path, plant: Callable[[Path, Path], object]) -> None:
    (state / "private").mkdir(mode=0o700)
    plant(state / "private" / "identity.part", victim)
    identity = ensure_identity(StackSettings(state=state))
    assert identity is not None
    assert victim.read_text() == "precious"
    assert identity.stat().st_mode & 0o777 == 0o600
    assert identity.stat().st_nlink == 1
    assert not identity.is_symlink()


@as_root
@with_openssl
def test_the_key_does_not_go_into_a_file_of_another_user(state: Path) -> None:
    (state / "private").mkdir(mode=0o700)
    part = state / "private" / "identity.part"
    part.touch(mode=0o666)
    give_away(part)
    with part.open("rb") as kept:
        identity = ensure_identity(StackSettings(state=state))
        assert kept.read() == b""
    assert identity is not None
    assert identity.stat().st_uid == 0


@with_openssl
def test_a_key_that_cannot_be_written_is_named(state: Path) -> None:
    (state / "private" / "identity.part").mkdir(parents=True)
    with pytest.raises(StackError, match=r"identity\.part cannot be written \(.*\): .*CUTSTREAM_STACK__STATE"):
        ensure_identity(StackSettings(state=state))


@with_openssl
def test_an_identity_that_others_can_read_or_replace_is_used_by_nobody(state: Path, victim: Path) -> None:
    stack = StackSettings(state=state)
    identity = ensure_identity(stack)
    assert identity is not None

    def refused(message: str) -> None:
        for use in (identity_of, ensure_identity):
            with pytest.raises(ConfigurationError, match=rf"CUTSTREAM_STACK__STATE: .*{message}"):
                use(stack)

    identity.chmod(0o640)
    refused(r"identity\.pem must be a file that its user alone can read: .*remove the folder .*private")
    identity.chmod(0o600)
    identity.parent.chmod(0o777)
    refused(r"may write to .*private \(mode 0777\)")
    identity.parent.chmod(0o700)
    state.chmod(0o777)
    refused(r"may write to .*state \(mode 0777\)")
    state.chmod(0o700)
    assert ensure_identity(stack) == identity
    identity.unlink()
    identity.symlink_to(victim)
    refused(r"identity\.pem must be a file")

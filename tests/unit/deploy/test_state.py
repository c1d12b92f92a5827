"""What another account of this machine can do with a state folder that it can reach: nothing."""

from __future__ import annotations

import os
import pwd
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cutstream.errors import ConfigurationError, StackError
from cutstream.ownership import why_shared
from cutstream.settings import ObjectSettings, Settings, StackSettings, identity_of
from deploy.local.allowed import noted
from deploy.local.identity import OPENSSL, ensure_identity
from deploy.local.jars import ensure_jars, read_lock
from deploy.local.kafka import write_properties
from deploy.local.preflight import stack_problems
from deploy.local.process import ServerSpec, Supervisor
from deploy.local.state import lock_state, private_folder, throwaway, usable

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
    refused(
        state,
        r"state belongs to the user \w+, .*name a folder of your own, or remove this with .*\. Do not .*\(chown\)",
    )


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


@as_root
def test_a_group_that_is_another_accounts_first_group_is_not_the_users_own(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = pwd.getpwuid(0)
    os.chown(state, 0, own.pw_gid)
    state.chmod(0o775)
    assert why_shared(state) == ""
    other = pwd.struct_passwd(("mallory", "x", MALLORY, own.pw_gid, "", "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwall", lambda: [own, other])
    refused(state, r"other users may write to .*state \(mode 0775\)")


def set_list(path: Path, *entries: tuple[int, int, int], kind: str = "access") -> None:
    """Give a file or folder an access control list: what an entry is for, its rights, the id of its user or group."""
    data = b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(path, f"system.posix_acl_{kind}", struct.pack("<I", 2) + data)
    except OSError as exc:
        pytest.skip(f"this file system has no access control lists ({exc.strerror})")


NO_ID = 0xFFFFFFFF
OWNER, OWNING_GROUP, MASK, OTHERS = (1, 7, NO_ID), (4, 7, NO_ID), (0x10, 7, NO_ID), (0x20, 0, NO_ID)
LISTS = {
    "user": (OWNER, (2, 7, MALLORY), OWNING_GROUP, MASK, OTHERS),
    "user, and the group does not": (OWNER, (2, 2, MALLORY), (4, 0, NO_ID), MASK, OTHERS),
    "group": (OWNER, OWNING_GROUP, (8, 7, OTHER_GROUP), MASK, OTHERS),
}


@pytest.mark.parametrize("entries", LISTS.values(), ids=LISTS)
def test_a_folder_that_others_may_write_by_a_list_is_refused(state: Path, entries: Any) -> None:
    set_list(state, *entries)
    refused(state, r"may write to .*state by its access control list .*remove the list \(setfacl -b\)")
    refused(state / "folder", r"may write to .*state by its access control list")
    os.removexattr(state, "system.posix_acl_access")
    state.chmod(0o700)
    (state / "models").mkdir()
    set_list(state / "models", *entries)
    with pytest.raises(StackError, match=r"may write to .*models by its access control list"), lock_state(state):
        pass


@pytest.mark.parametrize(
    "entries",
    [
        (OWNER, (2, 5, MALLORY), (4, 5, NO_ID), MASK, OTHERS),  # others may read
        (OWNER, (2, 7, MALLORY), (4, 5, NO_ID), (0x10, 5, NO_ID), OTHERS),  # the mask takes the right to write away
        (OWNER, (2, 7, os.geteuid()), (4, 5, NO_ID), MASK, OTHERS),
    ],
)
def test_a_list_that_lets_nobody_else_write_is_none_of_our_business(state: Path, entries: Any) -> None:
    set_list(state, *entries)
    assert why_shared(state) == ""


def test_what_the_stack_makes_inherits_no_list_with_which_others_write(state: Path) -> None:
    set_list(state, *LISTS["user"], kind="default")
    with lock_state(state / "new"):
        (state / "new" / "file").touch(0o666)
    with lock_state(state / "new"):
        pass


FOREIGN: dict[str, Callable[[Path], object]] = {
    "file": lambda entry: (entry.touch(), give_away(entry)),
    "folder": lambda entry: (entry.mkdir(), give_away(entry)),
    "link": lambda entry: (entry.symlink_to("/etc/passwd"), give_away(entry)),
    "link to a place of another user": lambda entry: (
        (entry.parents[3] / "theirs").mkdir(),
        give_away(entry.parents[3] / "theirs"),
        entry.symlink_to(entry.parents[3] / "theirs"),
    ),
}


@as_root
@pytest.mark.parametrize("plant", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("where", ["triton/backends", "kafka/data", "models/deep", "gateway/spool"])
def test_what_another_user_has_left_deep_in_the_folder_is_refused(
    state: Path, where: str, plant: Callable[[Path], object]
) -> None:
    """Its user may have followed the advice to take over the folders above it."""
    entry = state / where / "entry"
    entry.parent.mkdir(parents=True, mode=0o755)
    plant(entry)
    with (
        pytest.raises(StackError, match=r"(entry|theirs) belongs to the user \w+, .*or remove this"),
        lock_state(state),
    ):
        pass
    assert not (state / "stack.lock").exists()


@pytest.mark.parametrize("mode", [0o666, 0o777])
def test_what_others_may_write_deep_in_the_folder_is_refused(state: Path, mode: int) -> None:
    entry = state / "triton" / "repository" / "entry"
    entry.parent.mkdir(parents=True)
    for make in (entry.touch, entry.mkdir):
        make()
        entry.chmod(mode)
        with pytest.raises(StackError, match=rf"may write to .*entry \(mode {mode:04o}\)"), lock_state(state):
            pass
        entry.unlink() if entry.is_file() else entry.rmdir()


def test_links_in_the_folder_must_lead_to_what_nobody_else_can_replace(state: Path, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir(mode=0o700)
    (state / "models").symlink_to(tmp_path / "own")
    with lock_state(state):
        pass
    (tmp_path / "own").chmod(0o777)
    with pytest.raises(StackError, match=r"models is a link\. other users may write to .*own"), lock_state(state):
        pass
    (tmp_path / "own").rmdir()
    with pytest.raises(StackError, match=r"models is a link that leads nowhere"), lock_state(state):
        pass


@as_root
def test_photos_in_the_inbox_may_be_anybodys(state: Path) -> None:
    (state / "inbox" / "token" / "photos").mkdir(parents=True)
    for photo in (state / "inbox" / "a.jpg", state / "inbox" / "token" / "photos" / "b.jpg"):
        photo.touch()
        photo.chmod(0o666)
        give_away(photo)
    with lock_state(state):
        pass
    give_away(state / "inbox" / "token")
    with pytest.raises(StackError, match="token belongs to the user"), lock_state(state):
        pass


def test_what_another_run_makes_and_removes_meanwhile_is_its_own_business(state: Path) -> None:
    (state / "cutstream-run-x").mkdir()
    (state / "cutstream-run-x" / "link").symlink_to("removed")
    with lock_state(state):
        pass


def test_properties_are_not_written_through_a_link(state: Path, victim: Path) -> None:
    for name in ("server.properties", "server.properties.part"):
        (state / name).symlink_to(victim)
    write_properties(state / "server.properties", {"a": 1})
    assert victim.read_text() == "precious"
    assert (state / "server.properties").read_text() == "a=1\n"
    assert not (state / "server.properties").is_symlink()


def test_a_log_is_not_written_through_a_link(state: Path, tmp_path: Path) -> None:
    (state / "shell.log").symlink_to(tmp_path / "missing")
    with Supervisor(10) as supervisor:
        supervisor.start(ServerSpec("shell", ["sh", "-c", "echo up; sleep 60"], {}, state / "shell.log", lambda: True))
    assert not (tmp_path / "missing").exists()


def test_what_cannot_be_used_is_named(state: Path) -> None:
    message = r"CUTSTREAM_STACK__STATE: .*state cannot be used \(Is a directory\): remove it"
    with pytest.raises(StackError, match=message), usable(state):
        state.write_text("")


@as_root
@pytest.mark.parametrize("foreign", ["folder", "jar"])
def test_jars_that_another_user_could_exchange_are_not_used(tmp_path: Path, foreign: str) -> None:
    folder = tmp_path / "jars"
    folder.mkdir()
    (folder / "kafka.jar").touch()
    give_away(folder if foreign == "folder" else folder / "kafka.jar")
    with pytest.raises(StackError, match=r"CUTSTREAM_STACK__JARS: .*jars?\S* belongs to the user"):
        ensure_jars(folder)
    os.mkfifo(folder / read_lock()[0].file)
    problems = list(stack_problems(Settings(stack=StackSettings(state=tmp_path / "state", jars=folder))))
    assert any("jar" in line and "belongs to the user" in line for line in problems)


def test_jars_that_others_may_write_are_not_used_and_a_link_may_lead_to_them(tmp_path: Path) -> None:
    (tmp_path / "jars").mkdir()
    (tmp_path / "link").symlink_to("jars")
    (tmp_path / "jars").chmod(0o777)
    for folder in (tmp_path / "jars", tmp_path / "link"):
        with pytest.raises(StackError, match=r"CUTSTREAM_STACK__JARS: other users may write to .*jars \(mode 0777\)"):
            ensure_jars(folder)


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

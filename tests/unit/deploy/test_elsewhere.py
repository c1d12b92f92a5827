"""A command finds the stack that its user has started in another folder, and believes nobody else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from commands.attaching import located
from cutstream.settings import ObjectSettings, Settings, StackSettings, WorkerSettings
from cutstream.settings import runtime_folder as folder_or_none
from deploy.local.allowed import noted
from deploy.local.elsewhere import announced, stack_elsewhere
from deploy.local.state import lock_state

MALLORY = 65534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another account")


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Work in a folder without a stack, with a runtime folder of the test's own."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path / "here"


@pytest.fixture
def running(tmp_path: Path) -> Settings:
    return Settings(stack=StackSettings(state=tmp_path / "there", kafka_port=29092), worker=WorkerSettings(port=9300))


def runtime_folder() -> Path:
    folder = folder_or_none()
    assert folder is not None
    return folder


def never(text: str) -> None:
    raise AssertionError(text)


def test_a_stack_of_another_folder_is_found_while_it_runs(running: Settings, here: Path) -> None:
    said: list[str] = []
    with announced(running, never):
        found = located(Settings(), said.append)
        assert (found.stack, found.worker.port) == (running.stack, 9300)
    assert len(said) == 1
    assert str(running.stack.state) in said[0]
    assert located(Settings(), never) == Settings()
    assert list(here.iterdir()) == [], "who only looks leaves nothing behind"


def test_a_relative_state_folder_is_found_from_elsewhere(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with announced(Settings(), never):
        monkeypatch.chdir(here.parent)
        found = stack_elsewhere(Settings())
        assert found is not None
        assert found.stack.state == here / ".state"


def test_the_stack_of_this_folder_goes_first(running: Settings) -> None:
    with announced(running, never), lock_state(Settings().stack.state):
        assert stack_elsewhere(Settings()) is None
        with noted(ObjectSettings(), Settings().stack):
            assert stack_elsewhere(Settings()) is None


@pytest.mark.parametrize(
    "named",
    [
        {"stack": {"state": "mine"}},
        {"stack": {"kafka_port": 1234}},
        {"worker": {"port": 1234}},
        {"kafka": {"bootstrap_servers": "broker:9092"}},
        {"kafka": {"requests_topic": "mine"}},
    ],
)
def test_settings_that_name_a_stack_are_obeyed(running: Settings, named: dict[str, dict[str, object]]) -> None:
    with announced(running, never):
        assert stack_elsewhere(Settings(**named)) is None  # type: ignore[arg-type]


def test_the_first_of_two_stacks_is_announced(running: Settings, tmp_path: Path) -> None:
    second = Settings(stack=StackSettings(state=tmp_path / "second"))
    said: list[str] = []
    with announced(running, never):
        with announced(second, said.append):
            found = stack_elsewhere(Settings())
            assert found is not None
            assert found.stack == running.stack
        assert stack_elsewhere(Settings()) is not None
    assert "another stack of yours" in said[0]


def test_an_announcement_holds_no_secret(running: Settings) -> None:
    with announced(running, never):
        written = json.loads((runtime_folder() / "stack.json").read_text())
    assert set(written) == {"stack", "worker", "gateway", "page", "kafka"}
    assert not any("token" in name or "password" in name for part in written.values() for name in part)
    assert (runtime_folder().stat().st_mode & 0o777) == 0o700


@as_root
@pytest.mark.parametrize("place", ["", "stack.json"])
def test_what_another_account_has_written_is_not_believed(running: Settings, place: str) -> None:
    with announced(running, never):
        os.chown(runtime_folder() / place, MALLORY, MALLORY)
        assert stack_elsewhere(Settings()) is None
    said: list[str] = []
    with announced(running, said.append):
        assert "cannot be used" in said[0]


def test_a_folder_that_others_may_write_to_is_not_believed(running: Settings) -> None:
    with announced(running, never):
        runtime_folder().chmod(0o777)
        assert stack_elsewhere(Settings()) is None


def test_a_link_or_another_name_is_not_believed(running: Settings, tmp_path: Path) -> None:
    with announced(running, never):
        note = runtime_folder() / "stack.json"
        (tmp_path / "other").hardlink_to(note)
        assert stack_elsewhere(Settings()) is None
        note.unlink()
        note.symlink_to(tmp_path / "other")
        assert stack_elsewhere(Settings()) is None


@pytest.mark.parametrize("text", ["", "x", "[]", "{}", '{"stack": 1}', '{"stack": {"state": 7}}', '{"worker": {}}'])
def test_what_is_no_announcement_is_none(running: Settings, text: str) -> None:
    with announced(running, never):
        (runtime_folder() / "stack.json").write_text(text)
        assert stack_elsewhere(Settings()) is None


@pytest.mark.parametrize("home", ["~", "/nonexistent", "/dev/null"])
def test_an_account_without_a_home_uses_the_stack_of_its_folder(running: Settings, monkeypatch, home: str) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path.replace("~", home))
    monkeypatch.setattr(Path, "mkdir", refuse)
    with announced(running, lambda text: None):
        assert stack_elsewhere(Settings()) is None


def refuse(*arguments: object, **options: object) -> None:
    raise PermissionError(13, "Permission denied")

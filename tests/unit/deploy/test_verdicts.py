"""Verdicts on precision pass from run to run, and from nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from cutstream.settings import Settings, StackSettings
from deploy.local.state import throwaway
from deploy.local.verdicts import kept_verdicts

VERDICT = '{"precision": "bf16"}'


def settings(state: Path) -> Settings:
    return Settings(stack=StackSettings(state=state))


def found(own: Settings) -> dict[str, str]:
    folder = own.stack.state / "triton" / "precision"
    return {path.name: path.read_text() for path in folder.glob("*")}


def run(state: Path, **verdicts: str) -> dict[str, str]:
    """Have a run find verdicts out. Return those that it was lent."""
    with throwaway(settings(state)) as own, kept_verdicts(settings(state), own):
        lent = found(own)
        folder = own.stack.state / "triton" / "precision"
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in verdicts.items():
            (folder / f"{name}.json").write_text(text)
    return lent


def test_what_one_run_finds_out_the_next_one_is_lent(tmp_path: Path) -> None:
    assert run(tmp_path, cutnet=VERDICT) == {}
    assert run(tmp_path, u2netp="{}") == {"cutnet.json": VERDICT}
    assert run(tmp_path) == {"cutnet.json": VERDICT, "u2netp.json": "{}"}
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o700


def test_a_run_that_finds_nothing_out_leaves_nothing(tmp_path: Path) -> None:
    run(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run(tmp_path, **{"cutnet": VERDICT, "no/such/folder": VERDICT})
    assert list(tmp_path.iterdir()) == []


def test_links_and_what_is_no_json_are_not_taken(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(VERDICT)
    with throwaway(settings(tmp_path / "state")) as own, kept_verdicts(settings(tmp_path / "state"), own):
        folder = own.stack.state / "triton" / "precision"
        folder.mkdir(parents=True)
        (folder / "link.json").symlink_to(tmp_path / "secret")
        (folder / "part.json").write_text(VERDICT[:-1])
    assert not (tmp_path / "state" / "kept").exists()


def test_a_folder_that_others_may_write_to_lends_nothing(tmp_path: Path) -> None:
    run(tmp_path, cutnet=VERDICT)
    (tmp_path / "kept").chmod(0o777)
    assert run(tmp_path) == {}

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from cutstream.errors import ConfigurationError
from producer.gateway.state import State


def test_other_accounts_pass_through_and_see_no_names(tmp_path: Path) -> None:
    (tmp_path / "uploads").mkdir(mode=0o755)
    state = State(tmp_path)
    state.open()
    for folder in (state.folder, state.spool, state.uploads):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o711
    state.close()


def test_one_gateway_uses_a_folder(tmp_path: Path) -> None:
    first, second = State(tmp_path / "new"), State(tmp_path / "new")
    first.open()
    (first.spool / "unfinished.part").touch()
    with pytest.raises(ConfigurationError, match="another gateway uses"):
        second.open()
    assert (first.spool / "unfinished.part").exists(), "it may be another's"
    first.close()
    second.open()
    assert not list(second.spool.iterdir())
    second.close()


def test_a_folder_that_others_can_change_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(ConfigurationError, match="CUTSTREAM_GATEWAY__STATE"):
        State(folder).open()

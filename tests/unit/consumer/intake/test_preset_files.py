"""Preset files of a deployment are added to the built-in presets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from consumer.intake.preset_files import read_presets
from cutstream.errors import ConfigurationError
from cutstream.matting.presets import PRESETS
from cutstream.matting.specs import Refinement


def test_without_a_folder_there_are_only_built_in_presets() -> None:
    assert read_presets(None) is PRESETS


def test_each_file_adds_a_preset_to_the_built_in_ones(tmp_path: Path) -> None:
    (tmp_path / "packshot.toml").write_text('close = 4\nedges = "soft"\nkeep_largest = true\n')
    (tmp_path / "as it comes.toml").write_text("# nothing\n")
    (tmp_path / "README.md").write_text("not a preset")
    assert read_presets(tmp_path) == {
        **PRESETS,
        "packshot": Refinement(close=4, edges="soft", keep_largest=True),
        "as it comes": Refinement(),
    }


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a", "close = 99", r"a\.toml: `close`: expected a whole number from 0 to 20"),
        ("a", 'close = "often"', r"a\.toml: `close`: expected a whole number from 0 to 20, not text"),
        ("a", "clsoe = 1", r"a\.toml: unknown field `clsoe`; did you mean `close`"),
        ("a", "close = ", r"a\.toml: not TOML"),
        ("a", "kernel = 4", r"a\.toml: refine: `kernel` is 4.*odd"),
        ("a", "kernel = 99\nclose = 20", r"a\.toml: refine: kernels and counts.*above 50,000"),
        ("a", 'edges = "sharp"', r"a\.toml: `edges`: expected one of `linear`, `soft`"),
        ("smooth", "close = 1", r"`smooth` is a built-in preset"),
        ("soft", "close = 1", r"`soft` is a built-in preset"),
        ("a" * 101, "close = 1", "at most 100 characters"),
    ],
)
def test_an_invalid_file_is_reported_with_its_error(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / f"{name}.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_presets(tmp_path)
    assert str(caught.value).startswith("CUTSTREAM_MODELS__PRESETS: ")


def test_the_error_has_a_line_for_every_invalid_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.toml").write_text("close = -1")
    (tmp_path / "c.toml").mkdir()
    with pytest.raises(ConfigurationError) as caught:
        read_presets(tmp_path)
    assert [line.split(".toml")[0][-1] for line in str(caught.value).splitlines()] == ["a", "b", "c"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_an_unreadable_file_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "a.toml").touch(mode=0)
    with pytest.raises(ConfigurationError, match=r"a\.toml: cannot be read: Permission"):
        read_presets(tmp_path)


def test_the_setting_must_name_an_existing_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"CUTSTREAM_MODELS__PRESETS=.*nowhere cannot be read: No such file"):
        read_presets(tmp_path / "nowhere")

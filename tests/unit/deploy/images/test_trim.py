"""Trimming removes what nothing reads, and leaves what a package needs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deploy.images import trim


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"text")


def test_what_nothing_reads_goes(tmp_path: Path) -> None:
    gone = ["numba/tests/a.py", "numpy/ma/tests/a.py", "numpy/core/a.h", "cv2/data/face.xml"]
    kept = ["numpy/testing/tests/a.py", "skimage/__init__.pyi", "cupy/core/a.h", "nvidia/include/a.h", "numba/a.py"]
    write(tmp_path, *gone, *kept)
    trim.main(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == set(kept)


def test_libraries_that_were_changed_after_linking_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path, "pyvips_binary.libs/libvips.so.42", "zlib/text.so")
    (tmp_path / "pyvips_binary.libs/libvips.so.42").write_bytes(b"\x7fELF")
    (tmp_path / "module.so").write_bytes(b"\x7fELF")
    assert trim._is_library(tmp_path / "module.so")
    assert not trim._is_library(tmp_path / "pyvips_binary.libs/libvips.so.42")
    assert not trim._is_library(tmp_path / "zlib/text.so")


@pytest.mark.skipif(shutil.which("strip") is None, reason="needs strip (Debian's package binutils)")
def test_a_library_that_cannot_be_stripped_stays_as_it_is(tmp_path: Path) -> None:
    module = tmp_path / "module.so"
    module.write_bytes(b"\x7fELF and nothing else")
    trim.main(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["module.so"]
    assert module.read_bytes() == b"\x7fELF and nothing else"

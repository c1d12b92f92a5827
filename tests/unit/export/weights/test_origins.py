"""Packages are fetched by the registry's own client. Here a small script replaces it."""

from __future__ import annotations

import io
import os
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from cutstream.errors import WeightsMissing
from export.weights.origins import read_chunks

FILES = {"dist/b": b"second half", "dist/a": b"first half, ", "README.md": b"of no interest"}


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`client(program, archive)` replaces the program; it writes `archive`, and its arguments to `arguments`."""

    def play(program: str, archive: Path | None, complaint: str = "") -> Path:
        arguments = tmp_path / "arguments"
        script = tmp_path / "bin" / program
        script.parent.mkdir(exist_ok=True)
        lines = [
            f"#!{sys.executable}",
            "import pathlib, shutil, sys",
            f"pathlib.Path({str(arguments)!r}).write_text(' '.join(sys.argv[1:]))",
            f"shutil.copy({str(archive)!r}, '.')" if archive else f"sys.exit({complaint!r})",
        ]
        script.write_text("\n".join(lines))
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(script.parent))
        monkeypatch.setattr("export.weights.origins.sys.executable", str(script))
        return arguments

    return play


def tarball(path: Path, around: str) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in FILES.items():
            member = tarfile.TarInfo(f"{around}/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def wheel(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    return path


def fetched(origin: str, paths: list[str], folder: Path) -> bytes:
    folder.mkdir(exist_ok=True)
    return b"".join(read_chunks(origin, paths, folder))


def test_a_file_in_pieces_comes_out_of_an_npm_package_whole(client, tmp_path: Path) -> None:
    arguments = client("npm", tarball(tmp_path / "weights-1.0.tgz", "package"))
    assert fetched("npm:@us/weights@1.0", ["dist/a", "dist/b"], tmp_path / "work") == b"first half, second half"
    assert arguments.read_text() == "pack --silent --ignore-scripts @us/weights@1.0"


def test_a_file_comes_out_of_a_python_package(client, tmp_path: Path) -> None:
    arguments = client("python", wheel(tmp_path / "w-1.0-py3-none-any.whl"))
    assert fetched("pypi:w==1.0", ["dist/b"], tmp_path / "work") == b"second half"
    assert arguments.read_text().endswith(
        "download --quiet --disable-pip-version-check --no-deps --only-binary=:all: w==1.0"
    )


def test_a_source_archive_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real pip, which runs the `setup.py` of an archive that it downloads."""
    shop, trace = tmp_path / "shop", tmp_path / "trace"
    shop.mkdir()
    with tarfile.open(shop / "w-1.0.tar.gz", "w:gz") as tar:
        program = f"open({str(trace)!r}, 'w')\nimport setuptools\nsetuptools.setup(name='w', version='1.0')"
        for name, text in {"setup.py": program, "PKG-INFO": "Metadata-Version: 2.1\nName: w\nVersion: 1.0\n"}.items():
            member = tarfile.TarInfo(f"w-1.0/{name}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    options = {"NO_INDEX": "1", "FIND_LINKS": str(shop), "NO_BUILD_ISOLATION": "0", "CONFIG_FILE": os.devnull}
    for name, value in options.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    with pytest.raises(WeightsMissing, match=r"pypi:w==1\.0: .*w==1\.0"):
        fetched("pypi:w==1.0", ["dist/b"], tmp_path / "work")
    assert not trace.exists()


def test_what_the_client_complains_of_is_passed_on(client, tmp_path: Path) -> None:
    client("npm", None, complaint="404 no such package")
    with pytest.raises(WeightsMissing, match="npm:nobody@1: 404 no such package"):
        fetched("npm:nobody@1", ["dist/a"], tmp_path / "work")


def test_a_client_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WeightsMissing, match="npm:w@1 is fetched by `npm`, which is not installed"):
        fetched("npm:w@1", ["a"], tmp_path / "work")


def test_a_path_that_the_package_does_not_have_is_named(client, tmp_path: Path) -> None:
    client("npm", tarball(tmp_path / "w-2.0.tgz", "package"))
    with pytest.raises(WeightsMissing, match=r"w-2\.0\.tgz has no file dist/c"):
        fetched("npm:w@2.0", ["dist/a", "dist/c"], tmp_path / "work")

"""Make installed packages smaller: remove what no program reads, and strip what only a debugger reads.

    trim.py FOLDER

It removes the packages' own tests, headers and OpenCV's face detectors, and strips extension modules and libraries.
Stubs for type checkers stay: some packages read theirs to find their own parts. It needs `strip` and `nm` (binutils).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_SUFFIXES = {".pxd", ".pyx", ".h", ".hpp", ".c", ".cpp"}
_WORTHWHILE_BYTES = 500_000
_FOLDERS = ("*/tests", "*/*/tests", "cv2/data")
# These are part of how a package works: NumPy's assertions, and headers that CuPy's and CUDA's compilers read.
_KEPT = ("numpy/testing", "cupy", "nvidia")


def main(root: Path) -> None:
    """Trim the packages in a folder such as `site-packages`."""
    for folder in _unread_folders(root):
        shutil.rmtree(folder)
    for file in _files(root):
        if file.suffix in _SUFFIXES:
            file.unlink()
        elif _is_library(file):
            _strip(file)


def _strip(file: Path) -> None:
    """Strip a library, unless that damages it or hardly helps.

    Those that a wheel's builder has moved into `*.libs` were changed after they were linked. `strip` then cuts off what
    the loader reads: libvips lost the names of the libraries that it needs.
    """
    stripped = file.with_name(file.name + ".stripped")
    shutil.copy2(file, stripped)
    done = subprocess.run(["strip", "--strip-unneeded", stripped], check=False, stderr=subprocess.DEVNULL)
    gain = file.stat().st_size - stripped.stat().st_size
    if done.returncode == 0 and gain > _WORTHWHILE_BYTES and _interface(stripped) == _interface(file):
        stripped.replace(file)
    else:
        stripped.unlink()


def _interface(file: Path) -> list[bytes]:
    """Return what the loader reads: the libraries that are needed, and where these are found, and all names offered."""
    needs = subprocess.run(["ldd", file], check=False, capture_output=True).stdout.splitlines()
    names = subprocess.run(["nm", "--dynamic", file], check=False, capture_output=True).stdout
    return [*sorted(line.split(b" (0x")[0] for line in needs), names]


def _unread_folders(root: Path) -> Iterator[Path]:
    for pattern in _FOLDERS:
        yield from (folder for folder in list(root.glob(pattern)) if folder.is_dir() and not _is_kept(folder, root))


def _files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and not path.is_symlink() and not _is_kept(path, root)]


def _is_kept(path: Path, root: Path) -> bool:
    return any(path.is_relative_to(root / name) for name in _KEPT)


def _is_library(file: Path) -> bool:
    """Tell whether the file is a library that its package's builder has left as it was linked."""
    if any(folder.suffix == ".libs" for folder in file.parents):
        return False
    if ".so" not in file.suffixes:
        return False
    with file.open("rb") as content:
        return content.read(4) == b"\x7fELF"


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Assemble the system of the worker's image: the interpreter, and the shared libraries that anything in it needs.

    system.py TARGET FOLDER...

There is no shell, no package manager and no other program in it. The libraries are Debian's, copied from the image that
builds, where they are installed as packages: `var/lib/dpkg/status.d/` names these packages for scanners of images,
`usr/share/sbom/system.cdx.json` for people, and their licences come along. FOLDERs hold further libraries whose needs
count, such as the packages of an environment; they are not copied.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

USER = 10001
# What a service never imports: the rest of the standard library is copied.
_UNUSED = (
    "site-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data",
    "config-*", "__pycache__", "_test*.so", "_tkinter*.so", "_ctypes_test*.so", "xx*.so", "_xxtest*.so",
)  # fmt: skip
_ACCOUNTS = {
    "etc/passwd": f"root:x:0:0:root:/:/sbin/nologin\ncutstream:x:{USER}:{USER}:cutstream:/tmp:/sbin/nologin\n",
    "etc/group": f"root:x:0:\ncutstream:x:{USER}:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/ld.so.conf": "/usr/local/lib\n/lib/x86_64-linux-gnu\n/usr/lib/x86_64-linux-gnu\n",
    "etc/os-release": None,  # of the image that builds
}
_AUTHORITIES = Path("/usr/share/ca-certificates")
_RESOLVED = re.compile(r"^\s*(?:\S+ => )?(/\S+) \(0x")


def main(target: Path, folders: list[Path]) -> None:
    """Write the system into the folder `target`, which must be new."""
    target.mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):  # as Debian has them
        (target / "usr" / name).mkdir(parents=True, exist_ok=True)
        (target / name).symlink_to(f"usr/{name}")
    interpreter = _copy_interpreter(target)
    libraries = set(_needed_by([*interpreter, *_libraries_in(folders)]))
    for library in sorted(libraries):
        _copy(library, target)
    for name, text in _ACCOUNTS.items():
        _write(target / name, Path("/", name).read_text() if text is None else text)
    _copy(Path("/etc/ssl/openssl.cnf"), target)
    # Those of Debian's package alone: a machine that builds may trust others besides.
    authorities = sorted(_AUTHORITIES.rglob("*.crt"))
    _write(target / "etc/ssl/certs/ca-certificates.crt", "".join(file.read_text() for file in authorities))
    (target / "usr/lib/ssl").mkdir()  # where Debian's OpenSSL looks
    (target / "usr/lib/ssl/certs").symlink_to("/etc/ssl/certs")
    (target / "usr/lib/ssl/cert.pem").symlink_to("/etc/ssl/certs/ca-certificates.crt")
    (target / "usr/lib/ssl/openssl.cnf").symlink_to("/etc/ssl/openssl.cnf")
    (target / "tmp").mkdir()
    (target / "tmp").chmod(0o1777)
    (target / "data").mkdir()
    subprocess.run(["/sbin/ldconfig", "-r", str(target)], check=True)
    _describe(sorted(_packages({*libraries, Path("/etc/ssl/openssl.cnf"), authorities[0]})), target)


def _copy_interpreter(target: Path) -> list[Path]:
    """Copy the interpreter that runs this, with its library. Return its programs and extension modules."""
    prefix, version = Path(sys.base_prefix), f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(library, target / library.relative_to("/"), symlinks=True, ignore=shutil.ignore_patterns(*_UNUSED))
    (target / prefix.relative_to("/") / "bin").mkdir(parents=True)
    for name in (version, "python3", "python"):
        shutil.copy2(prefix / "bin" / name, target / prefix.relative_to("/") / "bin" / name, follow_symlinks=False)
    for shared in prefix.glob("lib/libpython3*.so*"):
        shutil.copy2(shared, target / shared.relative_to("/"), follow_symlinks=False)
    for linked in (version, "../lib/libpython*.so.*", f"../lib/{version}/lib-dynload/*.so"):
        for file in (target / prefix.relative_to("/") / "bin").glob(linked):
            subprocess.run(["strip", "--strip-unneeded", file], check=True)
    compile_all = [sys.executable, "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*compile_all, "-s", target, "-p", "/", target / library.relative_to("/")], check=False)
    return [prefix / "bin" / version, *(library / "lib-dynload").glob("*.so")]


def _libraries_in(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        for path in folder.rglob("*.so*"):
            if path.is_file():
                with path.open("rb") as content:
                    if content.read(4) == b"\x7fELF":
                        yield path


def _needed_by(programs: list[Path]) -> Iterator[Path]:
    """Yield the system's libraries that the programs load, by the paths that the loader finds them at.

    What a package brings itself is not the system's. A library that is not found is an option of its package, such as a
    second scheduler of threads: its module does not load here either.
    """
    for program in programs:
        listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
        for line in listed.splitlines():
            if (found := _RESOLVED.match(line)) and found[1].startswith(("/lib", "/usr/lib")):
                yield Path(found[1])


def _copy(file: Path, target: Path) -> None:
    """Copy a file to the same path, and a link's file under the link's name."""
    place = target / file.relative_to("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(file.resolve(), place)


def _packages(files: Iterable[Path]) -> Iterator[str]:
    """Yield the Debian package that each of the files belongs to. It may list it below `/usr/lib` or below `/lib`."""
    for file in files:
        paths = {str(path) for real in (file, file.resolve()) for path in (real, str(real).removeprefix("/usr"))}
        done = subprocess.run(["dpkg-query", "--search", *paths], capture_output=True, text=True, check=False)
        names = [line.split(":")[0] for line in done.stdout.splitlines() if not line.startswith("diversion")]
        if not names:
            sys.exit(f"{file} belongs to no package")
        yield names[0]


def _describe(packages: list[str], target: Path) -> None:
    components: list[dict[str, Any]] = [
        {
            "type": "application",
            "name": "python",
            "version": platform.python_version(),
            "purl": f"pkg:generic/python@{platform.python_version()}",
        }
    ]
    for package in dict.fromkeys(packages):
        status = subprocess.run(["dpkg-query", "--status", package], capture_output=True, text=True, check=True).stdout
        _write(target / "var/lib/dpkg/status.d" / package, status)
        fields = dict(re.findall(r"^(Package|Version|Architecture): (.*)$", status, re.MULTILINE))
        version, architecture = fields["Version"], fields["Architecture"]
        purl = f"pkg:deb/debian/{package}@{version}?arch={architecture}"
        components.append({"type": "library", "name": package, "version": version, "purl": purl})
        licence = Path("/usr/share/doc", package, "copyright")
        if licence.exists():
            _copy(licence, target)
    bill = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components}
    _write(target / "usr/share/sbom/system.cdx.json", json.dumps(bill, indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(folder) for folder in sys.argv[2:]])

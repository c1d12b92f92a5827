"""The photos that a command line names: files, folders, patterns, lists, addresses and parts of a bucket."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cutstream.clients.objects.buckets import Listed
from cutstream.clients.objects.files import path_of, uri_of
from cutstream.errors import InvalidOption, RefusedAddress
from cutstream.settings import BUCKET_SCHEMES
from producer.folders.kinds import LeftOut, why_left_out
from producer.folders.naming import name_of_address, safe_path
from producer.folders.walking import FoundFile, walk

FROM_LINES = "-"


@dataclass(frozen=True, slots=True)
class FoundPhoto:
    """A photo to send. `name` is a relative path for people and for the outputs; `version` changes with the photo."""

    address: str
    name: str
    version: str = ""
    crowded: bool = False


@dataclass
class Finder:
    """Finds photos. What it leaves out is counted in `left_out`.

    `ignored` are folders that hold no photos to send, and `lines` those of standard input. `list_objects` lists a part
    of a bucket.
    """

    list_objects: Callable[[str], Iterator[Listed]]
    lines: Iterable[str] = ()
    ignored: frozenset[tuple[int, int]] = frozenset()
    left_out: LeftOut = field(default_factory=LeftOut)
    _folders: Counter[str] = field(default_factory=Counter)

    def find(self, arguments: Sequence[str]) -> Iterator[FoundPhoto]:
        """Yield the photos that the arguments name, in flat memory. Raises InvalidOption for what names nothing.

        Names are relative to a folder if it is the only argument; of several folders they begin with the folder's. Of
        several files, they are relative to the folder
        that all of them share, so that no two files have the same name.
        """
        if not arguments or not all(argument.strip() for argument in arguments):
            raise InvalidOption("no photo is named: give a file, a folder, a pattern, an address, or -")
        is_only = len(arguments) == 1
        self._count_folders(arguments)
        shared = shared_folder([argument for argument in arguments if is_local(argument)])
        for argument in arguments:
            found_before = len(self.left_out)
            is_found = False
            for photo in self._find(argument, is_only, shared):
                is_found = True
                yield photo
            if not is_found and argument != FROM_LINES and (is_only or len(self.left_out) == found_before):
                raise InvalidOption(_names_nothing(argument, self.left_out))

    def _count_folders(self, arguments: Sequence[str]) -> None:
        folders = filter(os.path.isdir, map(expand_user, filter(is_local, arguments)))
        self._folders = Counter(os.path.basename(os.path.abspath(folder)) for folder in folders)

    def _find(self, argument: str, is_only: bool, shared: str) -> Iterator[FoundPhoto]:
        if argument == FROM_LINES:
            for line in filter(None, map(entry_of, self.lines)):
                yield from self._of_line(line)
        elif not is_local(argument):
            yield from self._of_address(argument)
        else:
            yield from self._of_path(expand_user(argument), is_only, shared)

    def _of_line(self, line: str) -> Iterator[FoundPhoto]:
        if not is_local(line):
            yield from self._of_address(line)
            return
        path = expand_user(line)
        if os.path.isdir(path):
            yield from self._in_folder(path, safe_path(path.split("/")))
        elif glob.has_magic(path) and not os.path.lexists(path):
            yield from self._matches(path)
        else:  # what is missing fails by name, like any photo that cannot be read
            yield _of_file(path, safe_path(path.split("/")))

    def _of_path(self, path: str, is_only: bool, shared: str) -> Iterator[FoundPhoto]:
        if os.path.isdir(path):
            yield from self._in_folder(path, "" if is_only else self._name_of_folder(path, shared))
        elif os.path.isfile(path):
            name = os.path.basename(path)
            if not is_only and (what := why_left_out(name)):
                self.left_out.add(what)  # `photos/*` of a shell names all that is there
            else:
                yield _of_file(path, os.path.relpath(os.path.abspath(path), shared))
        elif glob.has_magic(path):
            yield from self._matches(path)
        else:
            return  # there is no such thing

    def _name_of_folder(self, path: str, shared: str) -> str:
        """Return the folder's name, with those above it if another one has the same."""
        path = os.path.abspath(path)
        name = os.path.basename(path)
        return os.path.relpath(path, shared) if self._folders[name] > 1 else name

    def _in_folder(self, folder: str, prefix: str) -> Iterator[FoundPhoto]:
        if os.path.isdir(folder) and not os.access(folder, os.R_OK | os.X_OK):
            raise InvalidOption(f"the folder {folder!r} may not be read by this user")
        for file in walk(os.path.abspath(folder), self.left_out, self.ignored):
            yield _of_found(file, prefix)

    def _matches(self, pattern: str) -> Iterator[FoundPhoto]:
        """Yield the photos that match a pattern that no shell has expanded."""
        fixed = _fixed_part(pattern)
        for path in glob.iglob(pattern, recursive=True):
            if not os.path.isfile(path):
                continue
            if what := why_left_out(os.path.basename(path)):
                self.left_out.add(what)
            else:
                yield _of_file(path, safe_path(os.path.relpath(path, fixed or ".").split("/")))

    def _of_address(self, address: str) -> Iterator[FoundPhoto]:
        try:
            address.encode()
        except UnicodeEncodeError as exc:
            wrong = exc.object[exc.start : exc.end]
            raise InvalidOption(f"the address or an option has {wrong!r}, which is not UTF-8: correct it") from exc
        scheme, _, rest = address.partition("://")
        if scheme.lower() == "file":
            try:
                path = path_of(address)
            except RefusedAddress as exc:
                raise InvalidOption(f"{address}: {exc}") from exc
            yield from self._of_path(path, False, "/") if os.path.isdir(path) else [_of_file(path, path.strip("/"))]
        elif scheme.lower() in BUCKET_SCHEMES and (rest.endswith("/") or "/" not in rest):
            yield from self._in_bucket(address)
        else:
            yield FoundPhoto(address, name_of_address(address))

    def _in_bucket(self, prefix: str) -> Iterator[FoundPhoto]:
        key_prefix = prefix.partition("://")[2].rstrip("/").partition("/")[2]
        for listed in self.list_objects(prefix):
            name = listed.key.removeprefix(key_prefix).lstrip("/") if key_prefix else listed.key
            if what := why_left_out(name.rpartition("/")[2]):
                self.left_out.add(what)
            else:
                yield FoundPhoto(listed.uri, safe_path(name.split("/")), listed.tag)


def check_named(arguments: Sequence[str]) -> None:
    """Raise InvalidOption for an argument that names nothing on this machine. Of a folder, the first photo is enough.

    Buckets and other machines are not asked.
    """
    for argument in arguments:
        path = expand_user(argument)
        if not is_local(argument):
            _check_file_address(argument)
        elif len(arguments) > 1 and any(True for _ in glob.iglob(path, recursive=True)):
            continue  # one of several may have no photos
        elif not os.path.isfile(path):
            next(Finder(lambda prefix: iter(())).find([argument]))


def _check_file_address(address: str) -> None:
    if not address.lower().startswith("file://"):
        return
    try:
        path = path_of(address)
    except RefusedAddress as exc:
        raise InvalidOption(f"{address}: {exc}") from exc
    if not os.path.exists(path):
        raise InvalidOption(f"{address}: {path} is not there")


def _names_nothing(argument: str, left_out: LeftOut) -> str:
    found = f" ({left_out})" if len(left_out) else ""
    return (
        f"{argument!r} names no photos{found}: give a folder, a file, a pattern such as 'photos/**/*.jpg', or an "
        "address such as s3://bucket/photo.jpg or s3://bucket/folder/"
    )


def expand_user(argument: str) -> str:
    """Replace `~`. Raises InvalidOption if there is no such user."""
    try:
        return str(Path(argument).expanduser()) if argument.startswith("~") else argument
    except RuntimeError as exc:
        raise InvalidOption(f"{argument!r}: {exc}") from exc


def address_of(argument: str) -> str:
    """Return the address of one photo that a command line names."""
    return argument if not is_local(argument) else uri_of(expand_user(argument))


def folders_of(arguments: Sequence[str]) -> list[Path]:
    """Return the folders on this machine that a worker has to read for these arguments, as far as they tell."""
    found: set[Path] = set()
    for argument in filter(is_local, arguments):
        path = Path(expand_user(argument)).absolute()
        if argument == FROM_LINES:
            continue
        if glob.has_magic(str(path)) and not path.exists():
            path = Path(os.path.dirname(_fixed_part(str(path))) or "/")
        found.add(path if path.is_dir() else path.parent)
    return sorted(found)


def names_a_folder(argument: str) -> bool:
    """Tell whether an argument may name several photos."""
    if not is_local(argument):
        return argument.endswith("/")
    path = expand_user(argument)
    return os.path.isdir(path) or (glob.has_magic(path) and not os.path.lexists(path))


def entry_of(line: str) -> str:
    """Return what a line of a list names: the line without blanks around it, unless they belong to a file's name."""
    for text in (line, line.removesuffix("\n")):
        if text != text.strip() and "\0" not in text and os.path.lexists(text):
            return text
    return line.strip()


def is_local(argument: str) -> bool:
    """Tell whether an argument names something of this machine by its path."""
    return "://" not in argument


def _fixed_part(pattern: str) -> str:
    """Return what stands before the first part of a path that is a pattern, with a slash behind it."""
    parts = pattern.split("/")
    first = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return "/".join([*parts[:first], ""])


def shared_folder(arguments: Sequence[str]) -> str:
    """Return the folder that all of these paths share: names of several photos are relative to it."""
    folders = [os.path.dirname(os.path.abspath(expand_user(argument))) for argument in arguments if argument != "-"]
    return os.path.commonpath(folders) if folders else "/"


def _of_file(path: str, name: str) -> FoundPhoto:
    try:
        status = os.stat(path)
        version = _version(status.st_size, status.st_mtime_ns)
    except OSError:
        version = ""
    return FoundPhoto(uri_of(path), name or "photo", version)


def _of_found(file: FoundFile, prefix: str) -> FoundPhoto:
    name = f"{prefix}/{file.name}" if prefix else file.name
    return FoundPhoto(uri_of(file.path), name, _version(file.size, file.mtime_ns), file.crowded)


def _version(size: int, mtime_ns: int) -> str:
    return f"{size}-{mtime_ns}"

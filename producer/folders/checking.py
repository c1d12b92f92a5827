"""Refuse before anything starts what `cutstream cut` cannot do: wrong options, missing photos, impossible targets."""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cutstream.clients.objects.files import path_of
from cutstream.contract.addresses import show_address
from cutstream.contract.building import make_request
from cutstream.contract.messages import Request
from cutstream.contract.recipe import file_format
from cutstream.errors import InvalidOption, RefusedAddress
from cutstream.settings import BUCKET_SCHEMES
from producer.folders.kinds import PHOTO_SUFFIXES, suffix_of
from producer.folders.places import check_folders
from producer.folders.single import SUFFIXES, check_target, with_format_of
from producer.folders.sources import check_named, expand_user, is_local, names_a_folder, shared_folder
from producer.submitting import checked_address

PIPE = "-"
_SCHEMES = ("file", "http", "https", *BUCKET_SCHEMES)
_ANY_PHOTO = "file:///photo.jpg"


def is_for_folder(photos: Sequence[str], target: str) -> bool:
    """Tell whether the outputs go to a folder: several photos do, and what has a slash at its end is one."""
    return len(photos) > 1 or names_a_folder(photos[0]) or _is_folder(target)


def check_cut(photos: Sequence[str], target: str, fields: Mapping[str, Any], overwrite: bool) -> None:
    """Refuse whatever is known to fail, as far as the command line and this machine's files tell.

    No server is asked. Raises InvalidOption, InvalidRequest, RefusedAddress or OutputExists.
    """
    request = make_request(fields, _ANY_PHOTO)
    if is_for_folder(photos, target):
        _check_folder(photos, target)
        if overwrite:
            _check_kept(photos, Path(expand_user(target)), _extension_of(request))
    else:
        _check_not_itself(photos[0], target)
        check_target(target, overwrite)
        make_request(with_format_of(fields, target), _ANY_PHOTO)
    for photo in photos:
        if not is_local(photo) and not _is_file_address(photo):
            _check_address(photo)
    check_named([photo for photo in photos if photo != PIPE])
    if target != PIPE:
        _check_writable(Path(expand_user(target)))


def _check_address(photo: str) -> None:
    checked_address(photo)
    if photo.partition("://")[0].lower() not in _SCHEMES:
        raise InvalidOption(
            f"{show_address(photo)}: give an address that begins with {', '.join(map('{}://'.format, _SCHEMES))}"
        )


def _check_folder(photos: Sequence[str], target: str) -> None:
    if target == PIPE or PIPE in photos:
        raise InvalidOption("- is for one photo: name a folder for several")
    if not _is_folder(target) and suffix_of(target) in {*PHOTO_SUFFIXES, *SUFFIXES}:
        raise InvalidOption(
            f"{target!r} has the name of one file, but several photos need a folder: name one, or add / if that is its "
            "name"
        )
    check_folders(photos, Path(expand_user(target)))


def _check_kept(photos: Sequence[str], out: Path, extension: str) -> None:
    """Raise InvalidOption if the output of a file, or of a pattern's files, could take the place of the photo."""
    shared = shared_folder([photo for photo in photos if is_local(photo)])
    for photo in map(expand_user, filter(is_local, photos)):
        if os.path.isfile(photo):
            place = (out / os.path.relpath(os.path.abspath(photo), shared)).with_suffix(extension)
            replaced = os.path.realpath(place) == os.path.realpath(photo)
        else:
            is_beside = os.path.realpath(os.path.dirname(photo)) == os.path.realpath(out)
            suffix = suffix_of(photo)
            replaced = is_beside and glob.has_magic(photo) and (glob.has_magic(suffix) or suffix in ("", extension))
        if replaced:
            raise InvalidOption(f"with --overwrite, {photo} could be replaced by its cutout: name another folder")


def _extension_of(request: Request) -> str:
    """Return the extension of the first output, with its dot. Several outputs have names that no photo has."""
    made = file_format(request, request.outputs[0])
    return ".jpg" if made == "jpeg" else f".{made}"


def _check_not_itself(photo: str, target: str) -> None:
    """Raise InvalidOption if the output would take the place of the photo, which nothing would bring back."""
    if PIPE in (photo, target) or not (is_local(photo) or _is_file_address(photo)):
        return
    try:
        path = path_of(photo) if _is_file_address(photo) else expand_user(photo)
        is_same = os.path.samefile(path, expand_user(target))
    except (OSError, RefusedAddress):
        return  # one of them is not there
    if is_same:
        raise InvalidOption(f"{target} is the photo itself, which would be lost: name another file for the output")


def _check_writable(target: Path) -> None:
    """Raise InvalidOption if the target's folder, or the one it would be made in, may not be written to."""
    folder = target if target.is_dir() else target.parent
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir():
        problem = os.strerror(errno.ENOTDIR)
    elif not os.access(folder, os.W_OK | os.X_OK):
        is_read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
        problem = os.strerror(errno.EROFS if is_read_only else errno.EACCES)
    else:
        return
    raise InvalidOption(f"{target} cannot be written ({folder}: {problem}): name another place")


def _is_file_address(photo: str) -> bool:
    return photo.lower().startswith("file://")


def _is_folder(target: str) -> bool:
    return target != PIPE and (target.endswith("/") or os.path.isdir(expand_user(target)))

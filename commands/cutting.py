"""Cut out photos by the folder, for people who have photos and want files."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.console import Profile, named_errors, tell
from commands.options import (
    Again,
    Background,
    Crop,
    CropMargin,
    Format,
    Outputs,
    RequestFields,
    request_fields,
)
from commands.serving import cutting_stack

if TYPE_CHECKING:
    from producer.ledger import Job

EXAMPLES = """\
Examples:

  cutstream cut photo.jpg cutout.png
  cutstream cut photos/ cutouts/
  cutstream cut photos/ white/ --background white --format jpeg
  cutstream cut 'photos/**/*.jpg' cutouts/ --crop --crop-margin 5%
  cutstream cut - - < photo.jpg > cutout.png

A folder is mirrored: photos/shoes/a.jpg becomes cutouts/shoes/a.png. Run the same command again to go on after Ctrl-C \
or to do what is new: photos that are done and have not changed are left out. Photos that fail are listed in \
failed.csv, and the command then ends with 1. docs/folders.md has more.
"""


def cut(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PHOTO... OUTPUT",
            help="Files, folders, patterns or addresses of photos, and at last the file or folder for the outputs. - "
            "is standard input or output.",
        ),
    ],
    profile: Profile = None,
    outputs: Outputs = None,
    format: Format = "auto",
    crop: Crop = False,
    crop_margin: CropMargin = None,
    background: Background = None,
    request: RequestFields = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that this command has not written itself.")
    ] = False,
    again: Again = False,
    contact_sheet: Annotated[
        bool, typer.Option("--contact-sheet", help="Also draw contact-sheet.jpg: photos beside their cutouts.")
    ] = False,
) -> None:
    """Cut subjects out of photos: a file, or whole folders.

    The running stack does the work (`cutstream up`). If there is none, this command starts one and stops it.
    """
    from commands.carrying import told_when_stopped
    from producer.folders.checking import check_cut, is_for_folder

    with named_errors(), told_when_stopped():
        photos, target = _split(paths)
        fields = request_fields(
            profile=profile,
            outputs=outputs,
            format=format,
            crop=crop,
            crop_margin=crop_margin,
            background=background,
            request=request,
        )
        check_cut(photos, target, fields, overwrite)
        if is_for_folder(photos, target):
            failed = _cut_folder(photos, target, fields, profile, overwrite, again, contact_sheet)
        else:
            failed = _cut_one(photos[0], target, fields, profile)
    if failed:
        raise typer.Exit(1)


def _split(paths: list[str]) -> tuple[list[str], str]:
    from cutstream.errors import InvalidOption

    if len(paths) < 2:
        raise InvalidOption(
            "name the photos and then where the cutouts go, such as `cutstream cut photo.jpg cutout.png` or "
            "`cutstream cut photos/ cutouts/`"
        )
    return paths[:-1], paths[-1]


def _cut_folder(
    photos: list[str],
    target: str,
    fields: dict[str, Any],
    profile: str | None,
    overwrite: bool,
    again: bool,
    contact_sheet: bool,
) -> int:
    """Return how many photos have failed."""
    from commands.carrying import carry
    from cutstream.settings import load
    from producer.folders.places import ledger_in
    from producer.folders.running import is_all_done
    from producer.folders.sources import folders_of
    from producer.folders.work import Stream, Work

    out = Path(target).expanduser()
    work = Work(arguments=photos, fields=fields, ledger=ledger_in(out), out=out, overwrite=overwrite, again=again)
    settings = load()
    if is_all_done(work, Stream(settings, settings.objects)):
        tell(f"Every photo was done before and has not changed: nothing to do (--again does them again, {out}).")
        return 0
    with cutting_stack(settings, folders_of(photos), profile, tell) as (stream, check_stack):
        return carry(work, stream, check_stack, contact_sheet=contact_sheet)


def _cut_one(photo: str, target: str, fields: dict[str, Any], profile: str | None) -> int:
    from commands.carrying import carry
    from cutstream.settings import load
    from producer.folders.places import ledger_in
    from producer.folders.single import deliver, with_format_of
    from producer.folders.sources import folders_of
    from producer.folders.work import Work

    began = time.monotonic()

    def put(job: Job) -> None:
        deliver(job, made, target, sys.stdout.buffer)
        if target != "-":
            tell(f"{target} ({time.monotonic() - began:.1f} s)")

    fields = with_format_of(fields, target)
    with _readable(photo) as source, tempfile.TemporaryDirectory(prefix="cutstream-") as folder:
        made = Path(folder)
        # Somebody waits for this one: it goes before a folder that the same stack is busy with.
        work = Work(arguments=[source], fields=fields, ledger=ledger_in(made), out=made, urgent=True)
        with cutting_stack(load(), folders_of([source]), profile, tell, for_one=True) as (stream, check_stack):
            return carry(work, stream, check_stack, on_done=put)


@contextmanager
def _readable(photo: str) -> Iterator[str]:
    """Yield the photo's name, or that of a file with what standard input has."""
    with ExitStack() as cleanup:
        if photo == "-":
            folder = cleanup.enter_context(tempfile.TemporaryDirectory(prefix="cutstream-"))
            path = Path(folder) / "photo"
            with path.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
            photo = str(path)
        yield photo

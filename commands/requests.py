"""Write requests to the stream and read results from it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from commands.attaching import located, reached, stack_to_send_to
from commands.carrying import carry, told_when_stopped
from commands.console import Profile, echo, named_errors, program, tell
from commands.options import (
    Background,
    Crop,
    CropMargin,
    Format,
    InFlight,
    Outputs,
    RequestFields,
    Urgent,
    request_fields,
)

if TYPE_CHECKING:
    from io import BufferedIOBase

    from cutstream.settings import Settings
    from producer.folders.work import Stream

_SHOWN, _SHOWN_CHARACTERS = 5, 200

SUBMIT_EXAMPLES = """\
Examples:

  cutstream submit photos/
  cutstream submit a.jpg b.jpg --outputs cutout,mask
  cutstream submit s3://bucket/shoes/ --destination s3://cutouts/shoes
  cutstream submit photos/ --wait --out cutouts/
  cutstream submit --watch photos/
  find photos -newer yesterday -print0 | cutstream submit -

Submitting the same photos again sends only what is new, has changed or has failed. docs/folders.md has more.
"""
RESULTS_EXAMPLES = """\
Examples:

  cutstream results --since 1h --failed
  cutstream results --id shoe-1 --id shoe-2
  cutstream results --follow --from end
"""
WHERE_EXAMPLES = """\
Examples:

  cutstream where photos/shoes/a.jpg
  cutstream where photos/shoes/a.jpg --out cutouts/
  cutstream where s3://bucket/a.jpg
"""


def submit(
    photos: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH|GLOB|ADDRESS|-...",
            help="The photos: files, folders, patterns, addresses, parts of a bucket such as s3://bucket/shoes/, or - "
            "to read these from standard input, one a line or with a NUL behind each.",
        ),
    ],
    profile: Profile = None,
    outputs: Outputs = None,
    format: Format = "auto",
    crop: Crop = False,
    crop_margin: CropMargin = None,
    background: Background = None,
    destination: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|ADDRESS",
            help="A folder, or an address such as s3://bucket/prefix, where workers store the outputs. Defaults to the "
            "deployment's destination.",
        ),
    ] = None,
    request: RequestFields = None,
    urgent: Urgent = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until every photo has its result.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder on this machine to put the outputs into, named like the photos. Waits for them."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on until Ctrl-C, and send what is added to the folders or changes.")
    ] = False,
    skip_done: Annotated[
        bool,
        typer.Option(
            "--skip-done/--again", help="Leave out photos that are done and have not changed, or do them again."
        ),
    ] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="With --out, replace files that this command has not written itself.")
    ] = False,
    ledger: Annotated[
        Path | None,
        typer.Option(help="File that remembers what was sent. Defaults to one for each Kafka, in the state folder."),
    ] = None,
    in_flight: InFlight = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Send photos even if a worker with these settings would refuse them all.")
    ] = False,
) -> None:
    """Write one request per photo; print each request's id and the photo's address.

    All requests get the same label `batch`, which `cutstream cancel --batch` takes.
    """
    from cutstream.contract.building import make_request
    from cutstream.errors import InvalidOption
    from cutstream.settings import load
    from producer.folders.lists import names_of, read_list
    from producer.folders.places import check_folders, ledger_in
    from producer.folders.sources import check_named, is_local
    from producer.folders.work import Work
    from producer.submitting import make_batch_id, with_batch_label

    with named_errors(), told_when_stopped():
        if out and destination:
            raise InvalidOption("--out and --destination exclude each other: say once where the outputs go")
        chosen = request_fields(
            profile=profile,
            outputs=outputs,
            format=format,
            crop=crop,
            crop_margin=crop_margin,
            background=background,
            request=request,
            destination=destination,
        )
        fields = with_batch_label(chosen, make_batch_id())
        make_request(fields, "file:///photo.jpg")
        if out:
            check_folders(photos, out)
        check_named([photo for photo in photos if is_local(photo) and photo != "-"])
        stream = _stream(load(), watch)
        unnamed = _Unnamed()
        work = Work(
            arguments=photos,
            fields=fields,
            ledger=ledger or (ledger_in(out) if out else None),
            out=out,
            again=not skip_done,
            overwrite=overwrite,
            wait=wait or bool(out),
            watch=watch,
            urgent=urgent,
            anyway=anyway,
            in_flight=in_flight,
            lines=names_of(read_list(cast("BufferedIOBase", sys.stdin.buffer)), unnamed) if "-" in photos else (),
        )
        sent = _Sent(fields)
        try:
            failed = carry(work, stream, lambda: None, on_sent=sent)
        finally:
            unnamed.tell()
            sent.say_how_to_cancel()  # also after Ctrl-C: a mistake is noticed while it is made
    if failed or unnamed.count:
        raise typer.Exit(1)


def _stream(settings: Settings, waits: bool) -> Stream:
    """Return where to send to: brokers that the settings name, or else the local stack, which has to run."""
    from cutstream.settings import addressed
    from producer.folders.work import Stream

    if settings.kafka.bootstrap_servers:
        return Stream(addressed(settings), settings.objects)  # the best guess of what their workers may read
    return stack_to_send_to(settings, waits=waits)


class _Unnamed:
    """Keeps the entries of a list that name no photo, to be told at the end."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[str] = []

    def __call__(self, entry: str) -> None:
        self.count += 1
        if len(self._first) < _SHOWN:
            self._first.append(entry[:_SHOWN_CHARACTERS])

    def tell(self) -> None:
        if not self.count:
            return
        them = "it" if self.count == 1 else "them"
        names = "1 entry of the list names" if self.count == 1 else f"{self.count:,} entries of the list name"
        tell(f"{names} no file, folder or address that is there; nothing was sent for {them}:")
        for entry in self._first:
            tell(f"  {entry!r}")
        if self.count > len(self._first):
            tell(f"  and {self.count - len(self._first):,} more")


class _Sent:
    """Prints what was sent, for programs."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields
        self._is_any = False

    def __call__(self, job: Any) -> None:
        self._is_any = True
        echo(f"{job.id}\t{job.source}")

    def say_how_to_cancel(self) -> None:
        if self._is_any:
            batch = self._fields["labels"]["batch"]
            tell(f"Batch {batch}. To call it off: {program()} cancel --batch {shlex.quote(batch)}")


def results(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for new results and print them, until Ctrl-C.")
    ] = False,
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="Only the results of this request. May be given several times.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only results that are not ok.")] = False,
    since: Annotated[
        str | None,
        typer.Option(
            help="Only results that are not older: an age such as 2h, or a time such as 2030-01-31T12:00:00Z."
        ),
    ] = None,
    start: Annotated[
        Literal["beginning", "end"], typer.Option("--from", help="Where to begin; `end` leaves out those of the past.")
    ] = "beginning",
) -> None:
    """Print committed results, one JSON object per line."""
    from datetime import datetime, timezone

    from commands.times import parse_time
    from cutstream.errors import InvalidOption
    from cutstream.printable import printable
    from cutstream.settings import load
    from producer.following import ResultFilter, read_results

    with named_errors():
        if since and start == "end":
            raise InvalidOption("--since and --from end exclude each other: give the one to begin at")
        time = parse_time(since, datetime.now(timezone.utc)) if since else None
        wanted = ResultFilter(
            ids=frozenset(ids or ()),
            failed=failed,
            since_ms=max(0, round(time.timestamp() * 1000)) if time else None,
            from_end=start == "end",
        )
        try:
            for lines in read_results(reached(load()).kafka, follow, wanted):
                sys.stdout.writelines(f"{printable(line)}\n" for line in lines)
                sys.stdout.flush()
        except KeyboardInterrupt:
            if not follow:
                raise


def where(
    photo: Annotated[str, typer.Argument(metavar="PHOTO", help="A file or an address, as it was sent.")],
    out: Annotated[Path | None, typer.Option(help="The folder for outputs that it was cut out to.")] = None,
    ledger: Annotated[Path | None, typer.Option(help="The file that remembers what was sent.")] = None,
) -> None:
    """Say what became of a photo: whether it is done, where its outputs are, or why it failed.

    Exits with 1 if nobody here has sent it.
    """
    from cutstream.settings import load
    from producer.folders.places import known_ledgers, ledger_in
    from producer.folders.sources import address_of
    from producer.ledger import look_up

    with named_errors():
        settings = located(load())
        places = [ledger] if ledger else [ledger_in(out)] if out else known_ledgers(settings.stack.state)
        address = address_of(photo)
        found = [job for place in places for job in look_up(place, address)]
        for job in found:
            echo(f"{job.state}\t{job.id}\t{job.code}: {job.message}" if job.code else f"{job.state}\t{job.id}")
            for name in job.outputs:
                echo(f"\t{out / name if out else name}")
        if not found:
            looked = ", ".join(map(str, places)) or "no ledger"
            tell(f"{photo} was not sent, as far as {looked} knows. For a folder of cutouts, name it with --out.")
            raise typer.Exit(1)

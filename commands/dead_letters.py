"""Look at failed requests, replay them, and purge them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from commands.attaching import reached
from commands.console import confirm, echo, err, named_errors, out
from cutstream.printable import one_line, printable

if TYPE_CHECKING:
    from rich.table import Table

    from cutstream.errors import CutstreamError
    from producer.letter_file import FiledLetter, Filter, LetterFile

Codes = Annotated[list[str] | None, typer.Option("--code", help="Error code. May be given several times.")]
Since = Annotated[
    str | None, typer.Option(help="Failed at or after this time: an age such as 2h, or 2030-01-31T12:00:00Z.")
]
Until = Annotated[str | None, typer.Option(help="Failed before this time: an age or a time.")]
Ids = Annotated[
    list[str] | None, typer.Option("--id", help="Id, or a pattern such as 'order-*'. May be given several times.")
]
LabelOptions = Annotated[
    list[str] | None, typer.Option("--label", metavar="NAME=VALUE", help="A label. Several must all be there.")
]
Image = Annotated[str | None, typer.Option(help="Pattern of the image's address, such as 'https://cdn.example.org/*'.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Take at most this many: the newest.")]
_MOST_NAMED = 20

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def list_letters(
    codes: Codes = None,
    since: Since = None,
    until: Until = None,
    ids: Ids = None,
    labels: LabelOptions = None,
    image: Image = None,
    limit: Limit = None,
    all: Annotated[bool, typer.Option("--all", help="Also those that were replayed, superseded or purged.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """List the open dead letters, the oldest first, and count them by error code."""
    with named_errors():
        wanted = _filter(codes, since, until, ids, labels, image, limit)
        file = _read()
        selected = wanted.select(file.letters if all else file.open)
        if as_json:
            for entry in selected:
                echo(json.dumps(_as_json(file, entry), ensure_ascii=False))
            return
        if selected:
            out.print(_table(file, selected))
        echo(_count(selected, "dead letter") + ".")
        _warn_of_unknown(file)


def show_letter(id: Annotated[str, typer.Argument(help="Id of the request.")]) -> None:
    """Show everything about the dead letters of one id, as JSON.

    The value and the headers are shown as text, or as hexadecimal digits where they are not UTF-8.
    """
    from producer.entries import NothingFound

    with named_errors():
        file = _read()
        found = [entry for entry in file.letters if entry.letter.id == id]
        if not found:
            raise NothingFound(f"there is no dead letter with id {id!r}; `cutstream dead-letters list --all` shows all")
        for entry in found:
            out.print_json(json.dumps({**_as_json(file, entry), **_details(entry)}, ensure_ascii=False))


def replay(
    codes: Codes = None,
    since: Since = None,
    until: Until = None,
    ids: Ids = None,
    labels: LabelOptions = None,
    image: Image = None,
    limit: Limit = None,
    yes: Yes = False,
) -> None:
    """Write the requests of open dead letters to the retry topic, for workers to try again. Without options, of all.

    A request keeps its id, and its next result has a higher `replay`. Each letter is replayed once, however often this
    runs.
    """
    from cutstream.clock import SystemClock
    from producer import dead_letters

    with named_errors():
        wanted = _filter(codes, since, until, ids, labels, image, limit)
        kafka = _kafka()
        file = dead_letters.read_letters(kafka)
        selected = wanted.select(file.open)
        cancelled = {entry.place for entry in dead_letters.find_cancelled(kafka, selected, SystemClock())}
        if cancelled:
            err.print(f"Left out, because they are called off (cutstream cancel list): {len(cancelled)}.")
            selected = [entry for entry in selected if entry.place not in cancelled]
        selected = _without_obstacles(file, selected)
        if hopeless := sum(dead_letters.is_hopeless(entry.letter) for entry in selected):
            err.print(f"Not valid requests, so they will fail again: {hopeless}.")
        _warn_of_at_least_once(kafka.delivery)
        if not selected:
            echo("There is nothing to replay.")
            return
        if len(selected) > 1 and not yes:
            confirm(f"Replay {_count(selected, 'dead letter')}?")
        places = {entry.place for entry in selected}
        count = dead_letters.replay(kafka, places, lambda e, n: echo(f"{e.letter.id}\treplay {n}"))
        echo(f"Replayed {count}." + _left(len(selected) - count))


def purge(
    codes: Codes = None,
    since: Since = None,
    until: Until = None,
    ids: Ids = None,
    labels: LabelOptions = None,
    image: Image = None,
    limit: Limit = None,
    yes: Yes = False,
) -> None:
    """Give up open dead letters. Without options, all. Then delete from Kafka what may be deleted.

    Kafka deletes records only from the beginning of a partition: a letter stays there until all before it are closed.
    """
    from producer import dead_letters

    with named_errors():
        wanted = _filter(codes, since, until, ids, labels, image, limit)
        kafka = _kafka()
        file = dead_letters.read_letters(kafka)
        selected = wanted.select(file.open)
        _warn_of_at_least_once(kafka.delivery)
        if selected and not yes:
            confirm(f"Purge {_count(selected, 'dead letter')}? They cannot be replayed after that.")
        purged = dead_letters.purge(kafka, {entry.place for entry in selected})
        echo(f"Purged {len(purged.letters)}." + _left(len(selected) - len(purged.letters)))
        for partition, offset in sorted(purged.deleted_before.items()):
            echo(f"Deleted partition {partition} of {kafka.dead_letters_topic} before offset {offset}.")


def _kafka() -> Any:
    from cutstream.settings import load

    return reached(load()).kafka


def _read() -> LetterFile:
    from producer.dead_letters import read_letters

    return read_letters(_kafka())


def _filter(
    codes: Sequence[str] | None,
    since: str | None,
    until: str | None,
    ids: Sequence[str] | None,
    labels: Sequence[str] | None,
    image: str | None,
    limit: int | None,
) -> Filter:
    from commands.labels import parse_labels
    from commands.times import parse_time
    from producer.letter_file import Filter

    _check_codes(codes or ())
    now = datetime.now(timezone.utc)
    since_ms, until_ms = (int(parse_time(text, now).timestamp() * 1000) if text else None for text in (since, until))
    return Filter(codes or (), ids or (), parse_labels(labels or ()), image, since_ms, until_ms, limit)


def _check_codes(codes: Sequence[str]) -> None:
    from cutstream.constraints import nearest
    from cutstream.errors import InvalidOption, Poison

    known = sorted({error.code for error in _all_below(Poison)})
    for code in codes:
        if code not in known:
            raise InvalidOption(
                f"--code {code!r}: no dead letter has this code{nearest(code, known)}; there are {', '.join(known)}"
            )


def _all_below(error: type[CutstreamError]) -> Iterator[type[CutstreamError]]:
    yield error
    for below in error.__subclasses__():
        yield from _all_below(below)


def _table(file: LetterFile, entries: Sequence[FiledLetter]) -> Table:
    from rich.table import Table

    table = Table(box=None)
    for name in ("failed", "id", "code", "stage", "message", "state"):
        table.add_column(name, overflow="fold")
    for entry in entries:
        letter = entry.letter
        state = file.state(entry) + (f", replay {letter.replay}" if letter.replay else "")
        table.add_row(_time(entry), *map(_cell, (letter.id, letter.code, letter.stage, letter.message, state)))
    return table


def _cell(text: str) -> Text:
    """Return the text on one line."""
    return Text(printable(" ".join(text.splitlines())))


def _as_json(file: LetterFile, entry: FiledLetter) -> dict[str, Any]:
    import msgspec

    letter = entry.letter
    return {
        "id": letter.id,
        "replay": letter.replay,
        "state": file.state(entry),
        "failed": _time(entry),
        "code": letter.code,
        "stage": letter.stage,
        "message": letter.message,
        "image": letter.image,
        "labels": letter.labels,
        "source": msgspec.to_builtins(letter.origin),
        "partition": entry.place.partition,
        "offset": entry.place.offset,
    }


def _details(entry: FiledLetter) -> dict[str, Any]:
    letter = entry.letter
    return {
        "exception": letter.exception,
        "key": _text(entry.key),
        "headers": [[_text(name.encode(errors="surrogateescape")), _text(value)] for name, value in letter.headers],
        "value": _text(letter.value),
    }


def _text(data: bytes | None) -> str | None:
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "hex:" + data.hex()


def _time(entry: FiledLetter) -> str:
    try:
        return datetime.fromtimestamp(entry.timestamp_ms / 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):  # whoever writes a record may give it any time
        return f"{entry.timestamp_ms} ms"


def _count(entries: Sequence[FiledLetter], noun: str) -> str:
    """Return for instance `3 dead letters (2 invalid_profile, 1 file_too_large)`."""
    from producer.dead_letters import count_by_code

    by_code = ", ".join(f"{count} {code}" for code, count in count_by_code(entries).most_common())
    return f"{len(entries)} {noun}{'' if len(entries) == 1 else 's'}" + (f" ({by_code})" if by_code else "")


def _left(count: int) -> str:
    if not count:
        return ""
    return f" The other {count} have been replayed or purged meanwhile (cutstream dead-letters list --all)."


def _without_obstacles(file: LetterFile, entries: Sequence[FiledLetter]) -> list[FiledLetter]:
    """Return the letters that can be replayed, and say which cannot and why."""
    from producer.closing_letters import obstacle

    free, named = [], 0
    for entry in entries:
        reason = obstacle(file, entry)
        if reason is None:
            free.append(entry)
        elif (named := named + 1) <= _MOST_NAMED:
            err.print(f"Left out, because it cannot be replayed: {one_line(entry.letter.id)}: {reason}.", markup=False)
    if named > _MOST_NAMED:
        err.print(f"… and {named - _MOST_NAMED} more.")
    return free


def _warn_of_unknown(file: LetterFile) -> None:
    if file.unknown_count:
        err.print(f"Records on the topic that are no dead letters, left alone: {file.unknown_count}.")


def _warn_of_at_least_once(delivery: str) -> None:
    if delivery == "at_least_once":
        err.print(
            "CUTSTREAM_KAFKA__DELIVERY is at_least_once: without transactions, a command that is interrupted, or two "
            "at once, may replay a request twice."
        )

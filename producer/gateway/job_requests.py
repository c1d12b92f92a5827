"""What a client sends for a job, and the requests that it stands for."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from cutstream.contract.ids import RequestId
from cutstream.contract.messages import Request
from producer.gateway.bodies import MAX_VALUE_BYTES, parse_json
from producer.gateway.errors import CallRefused, bad_request
from producer.gateway.removebg_options import check_url

_RESERVED = ("replay",)  # and `image` in the options of all photos
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off", "")
_MAX_CELL = 8192
_MAX_NAMED = 3
_ALLOWING = "the operator may allow others: CUTSTREAM_GATEWAY__ADDRESSES=true"


class JobOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/jobs`: one of `image`, `images` and `requests`, and what goes for all of them."""

    image: str | None = None
    images: list[str] = []
    requests: list[dict[str, Any]] = []
    options: dict[str, Any] = {}
    labels: dict[str, str] = {}
    webhook: str | None = None
    urgent: bool = False


@dataclass(frozen=True)
class Order:
    """A job as it was asked for: the fields of each request, which lack the address of an uploaded photo."""

    requests: Sequence[Mapping[str, Any]]
    webhook: str | None
    urgent: bool
    rows: Sequence[int] = ()
    """The rows of the CSV that the requests come from, if they come from one."""

    def place(self, number: int) -> str:
        """Return where the request of this number was asked for: such as `row 7` or `photo 7`."""
        return _place(number, self.rows)

    def fingerprint(self, uploads: Sequence[str], backgrounds: Sequence[str]) -> bytes:
        """Return what tells this order from another, given the digests of its uploads.

        Deadlines do not: whoever sends an order again may count its deadlines from then.
        """
        requests = [{name: value for name, value in each.items() if name != "deadline"} for each in self.requests]
        return json.dumps([requests, self.webhook, self.urgent, uploads, backgrounds], sort_keys=True).encode()


def parse_order(values: Mapping[str, Any], query: Mapping[str, str], uploads: int, most: int) -> Order:
    """Parse a job. `values` come from JSON, from the fields of a form, or from CSV with its options in the query.

    Raises CallRefused.
    """
    rows: Sequence[int] = ()
    requests: list[Mapping[str, Any]]
    if "csv" in values and isinstance(values["csv"], bytes):
        order = _from_texts(query)
        found = _from_csv(values["csv"], most)
        rows, requests = [row for row, _ in found], [fields for _, fields in found]
    elif uploads:
        order = _from_texts(values)
        requests = [{} for _ in range(uploads)]
    else:
        order = _from_json(values)
        requests = _from_order(order)
    if not requests:
        raise bad_request("missing_source", "No image given", "give `image`, `images`, `requests` or `image_file`")
    if len(requests) > most:
        raise bad_request("too_many_photos", f"A job has at most {most} photos", f"this one has {len(requests)}")
    common = dict(order.options)
    if reserved := [name for name in ("image", *_RESERVED) if name in common]:
        raise bad_request("invalid_request", f"options: leave {', '.join(reserved)} out")
    if "id" in common and len(requests) > 1:
        raise bad_request("invalid_request", "options: an id is for one photo: give each of `requests` its own")
    labels = {**order.labels, **(common.pop("labels", None) or {})}
    complete = []
    for number, request in enumerate(requests, start=1):
        with at_place(_place(number, rows) if rows or len(requests) > 1 else ""):
            complete.append(_complete(request, common, labels))
    _check_ids([request.get("id") for request in complete], rows)
    return Order(complete, order.webhook, order.urgent, rows)


@contextmanager
def at_place(place: str) -> Iterator[None]:
    """Add the place to the title of a refusal, unless it is empty: whoever sends thousands must know which it is."""
    try:
        yield
    except CallRefused as exc:
        if not place:
            raise
        raise CallRefused(
            exc.status, exc.error_code, f"{exc.title} ({place})", exc.detail, exc.headers, exc.limit
        ) from exc


def _place(number: int, rows: Sequence[int]) -> str:
    return f"row {rows[number - 1]}" if rows else f"photo {number}"


def _check_ids(ids: Sequence[object], rows: Sequence[int]) -> None:
    """Refuse ids that no request may have, and two photos of one job with the same."""
    places: dict[str, list[int]] = {}
    for number, id in enumerate(ids, start=1):
        if id is None:
            continue
        try:
            places.setdefault(msgspec.convert(id, RequestId), []).append(number)
        except msgspec.ValidationError as exc:
            title = f"id: give letters, digits and any of . _ : @ = + - ({_place(number, rows)})"
            raise bad_request("invalid_request", title, str(exc)) from exc
    for own, numbers in places.items():
        if len(numbers) > 1:
            which = ", ".join(_place(number, rows) for number in numbers[:_MAX_NAMED])
            raise bad_request(
                "invalid_request", f"requests: the id {own} is that of {len(numbers)} photos", f"those of {which}"
            )


def _complete(request: Mapping[str, Any], common: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    if reserved := [name for name in _RESERVED if name in request]:
        raise bad_request("invalid_request", f"requests: leave {', '.join(reserved)} out")
    own = request.get("labels") or {}
    if not isinstance(own, dict):
        raise bad_request("invalid_request", "labels must be an object of texts")
    together = {**labels, **own}
    return {**common, **request, **({"labels": together} if together else {})}


def _from_json(values: Mapping[str, Any]) -> JobOrder:
    texts = {name for name in ("options", "labels", "urgent") if isinstance(values.get(name), str)}
    if texts:  # a form without files
        return _from_texts(values)
    try:
        return msgspec.convert(values, JobOrder)
    except msgspec.ValidationError as exc:
        raise bad_request("invalid_request", str(exc)) from exc


def _from_order(order: JobOrder) -> list[Mapping[str, Any]]:
    given = [bool(order.image), bool(order.images), bool(order.requests)]
    if sum(given) > 1:
        raise bad_request("multiple_sources", "Give one of `image`, `images` and `requests`")
    if order.requests:
        return list(order.requests)
    return [{"image": image} for image in ([order.image] if order.image else order.images)]


def _from_texts(values: Mapping[str, Any]) -> JobOrder:
    """Read a job's fields from texts: `options` and `labels` are JSON."""
    if unknown := values.keys() - {"image", "options", "labels", "webhook", "urgent"}:
        raise bad_request("invalid_request", f"there is no field {', '.join(sorted(unknown))[:100]}")
    urgent = str(values.get("urgent", "")).strip().lower()
    if urgent not in (*_TRUE, *_FALSE):
        raise bad_request("invalid_request", "urgent must be true or false")
    objects = {name: _object(name, values.get(name)) for name in ("options", "labels")}
    try:
        return msgspec.convert(
            {
                **objects,
                "image": values.get("image") or None,
                "webhook": values.get("webhook") or None,
                "urgent": urgent in _TRUE,
            },
            JobOrder,
        )
    except msgspec.ValidationError as exc:
        raise bad_request("invalid_request", str(exc)) from exc


def _object(name: str, text: object) -> dict[str, Any]:
    if text in (None, ""):
        return {}
    if not isinstance(text, str) or len(text) > MAX_VALUE_BYTES:
        raise bad_request("invalid_request", f"{name} must be a JSON object")
    try:
        return parse_json(text.encode())
    except CallRefused as exc:
        raise bad_request("invalid_request", f"{name}: {exc.title}", exc.detail) from exc


def _from_csv(data: bytes, most: int) -> list[tuple[int, Mapping[str, Any]]]:
    """Read addresses, one a row, with the numbers of their rows.

    A first row that names `image` and other fields of a request is a header.
    """
    rows = _rows_of(data, most)
    if not rows:
        return []
    first, header = rows[0][0], [cell.strip() for cell in rows[0][1]]
    if "image" not in header:
        for number, row in rows:
            if "://" not in row[0]:
                raise bad_request(
                    "invalid_body",
                    f"The CSV needs a column `image` in its first row, or one address in each row (row {number})",
                    f"not {row[0].strip()[:80]!r}",
                )
        return [(number, {"image": row[0].strip()}) for number, row in rows]
    names = Request.__struct_fields__
    if unknown := [name for name in header if name not in names]:
        raise bad_request(
            "invalid_body", f"The CSV has a column {unknown[0][:100]!r}, which no request has (row {first})"
        )
    for number, row in rows[1:]:
        if len(row) > len(header):
            detail = f"it has {len(row)} cells, and the first row {len(header)}: put a cell with a comma in quotes"
            raise bad_request(
                "invalid_body", f"A row of the CSV has more cells than the first one (row {number})", detail
            )
    return [(number, _from_row(header, row)) for number, row in rows[1:]]


def _rows_of(data: bytes, most: int) -> list[tuple[int, list[str]]]:
    """Return the rows that are not blank, with their numbers as a spreadsheet shows them: from 1, blank ones included.

    Raises CallRefused.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        title = f"The CSV cannot be read (line {line})"
        raise bad_request("invalid_body", title, f"{exc}: save it as UTF-8") from exc
    rows: list[tuple[int, list[str]]] = []
    number = 0
    try:
        for number, row in enumerate(csv.reader(io.StringIO(text, newline=""), strict=True), start=1):
            if any(len(cell) > _MAX_CELL for cell in row):
                raise bad_request(
                    "invalid_body", f"A cell of the CSV is too long (row {number})", f"at most {_MAX_CELL:,} characters"
                )
            if any(cell.strip() for cell in row):
                rows.append((number, row))
            if len(rows) > most + 1:
                raise bad_request("too_many_photos", f"A job has at most {most} photos")
    except csv.Error as exc:
        raise bad_request("invalid_body", f"The CSV cannot be read (row {number + 1})", str(exc)) from exc
    return rows


def _from_row(header: Sequence[str], row: Sequence[str]) -> dict[str, Any]:
    named = {name: cell.strip() for name, cell in zip(header, row, strict=False) if cell.strip()}
    return {name: cell if name == "id" else _cell(cell) for name, cell in named.items()}


def _cell(text: str) -> Any:
    """Return a cell's value: what is JSON other than a text, such as `true`, `80` or `["mask"]`, or else the text."""
    if text in ("true", "false") or text[:1] in "[{" or text.replace(".", "", 1).isdigit():
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            pass
    return text


def with_picture(background: object, address: str) -> dict[str, Any]:
    """Return a request's background with a picture that came with its job. Raises CallRefused if it has one already."""
    fields = background if isinstance(background, dict) else {}
    if background is not None and not isinstance(background, dict):
        raise bad_request("invalid_request", "background must be an object")
    if several := [name for name in ("image", "blur", "gradient") if fields.get(name) is not None]:
        raise bad_request("multiple_sources", f"Give one of bg_image_file and background.{several[0]}")
    return {**fields, "image": address}


def check_addresses(fields: Mapping[str, Any], allowed: bool) -> None:
    """Refuse what strangers must not name: anything but http(s), and destinations. Raises CallRefused."""
    if allowed:
        return
    try:
        check_url("image_url", fields.get("image"))
        background = fields.get("background")
        picture = background.get("image") if isinstance(background, dict) else None
        if isinstance(picture, str) and ("/" in picture or ":" in picture):  # otherwise a name in the catalogue
            check_url("bg_image_url", picture)
    except CallRefused as exc:
        raise bad_request(exc.error_code, exc.title, f"{exc.detail}, or upload the file; {_ALLOWING}") from exc
    if fields.get("destination") is not None:
        raise bad_request("invalid_destination", "A destination cannot be named here", _ALLOWING)

"""What a client sends for a job, and the requests that it stands for."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
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
    if "csv" in values and isinstance(values["csv"], bytes):
        order = _from_texts(query)
        requests = _from_csv(values["csv"], most)
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
    complete = [_complete(request, common, labels) for request in requests]
    _check_ids([request["id"] for request in complete if request.get("id") is not None])
    return Order(complete, order.webhook, order.urgent)


def _check_ids(ids: Sequence[object]) -> None:
    """Refuse ids that no request may have, and two photos of one job with the same."""
    try:
        own = msgspec.convert(ids, list[RequestId])
    except msgspec.ValidationError as exc:
        raise bad_request("invalid_request", "id: give letters, digits and any of . _ : @ = + -", str(exc)) from exc
    if twice := [id for id, count in Counter(own).items() if count > 1]:
        raise bad_request("invalid_request", f"requests: the id {twice[0]} is that of {own.count(twice[0])} photos")


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


def _from_csv(data: bytes, most: int) -> list[Mapping[str, Any]]:
    """Read addresses, one a row. A first row that names `image` and other fields of a request is a header."""
    try:
        text = data.decode("utf-8-sig")
        rows: list[list[str]] = []
        for row in csv.reader(io.StringIO(text, newline=""), strict=True):
            if any(len(cell) > _MAX_CELL for cell in row):
                raise bad_request("invalid_body", "A cell of the CSV is too long")
            if any(cell.strip() for cell in row):
                rows.append(row)
            if len(rows) > most + 1:
                raise bad_request("too_many_photos", f"A job has at most {most} photos")
    except (UnicodeDecodeError, csv.Error) as exc:
        raise bad_request("invalid_body", "The CSV cannot be read", str(exc)) from exc
    if not rows:
        return []
    header = [cell.strip() for cell in rows[0]]
    if "image" not in header:
        if any("://" not in row[0] for row in rows):
            raise bad_request(
                "invalid_body",
                "The CSV needs a column `image`, or one address in each row",
                f"not {header[0][:80]!r}",
            )
        return [{"image": row[0].strip()} for row in rows]
    names = Request.__struct_fields__
    if unknown := [name for name in header if name not in names]:
        raise bad_request("invalid_body", f"The CSV has a column {unknown[0][:100]!r}, which no request has")
    if any(len(row) > len(header) for row in rows[1:]):
        raise bad_request("invalid_body", "A row of the CSV has more cells than the first one")
    return [_from_row(header, row) for row in rows[1:]]


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
    check_url("image_url", fields.get("image"))
    background = fields.get("background")
    picture = background.get("image") if isinstance(background, dict) else None
    if isinstance(picture, str) and ("/" in picture or ":" in picture):  # otherwise a name in the catalogue
        check_url("bg_image_url", picture)
    if fields.get("destination") is not None:
        raise bad_request("invalid_destination", "A destination cannot be named here")

"""The Markdown pages that are generated from code: settings, errors, metrics, topics and messages."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, takewhile

import msgspec

from cutstream import errors, settings
from cutstream.constraints import Node, describe, resolve
from cutstream.contract.envelope import STRUCTURED
from cutstream.contract.messages import Request, Result
from cutstream.contract.schemas import REQUESTS, RESULTS, described_schema
from cutstream.contract.sizes import HEADER_BYTES, MAX_REQUEST_BYTES
from cutstream.errors import CutstreamError
from cutstream.metrics import DEFINITIONS
from docs.generate.asyncapi import (
    DEAD_LETTER_HEADERS,
    MARK_HEADERS,
    READ_COMMITTED,
    REDELIVERY_HEADERS,
    REQUEST_HEADERS,
    RESULT_HEADERS,
)

_SETTINGS = """\
# Settings

A setting is an environment variable, `CUTSTREAM_<SECTION>__<NAME>`, or an entry in the TOML file that
`CUTSTREAM_CONFIG` names: `CUTSTREAM_WORKER__WINDOW=8` means the same as `window = 8` under `[worker]`. The
environment takes precedence over the file. In a variable, a list is comma-separated, or a JSON list if a part has a
comma. An empty variable counts as unset. An unknown `CUTSTREAM_` variable is an error, and so is the former name of
a setting; the message then gives the new one.

`cutstream worker --check` checks all settings and prints them, with secrets hidden. It asks no server. Settings of an
embedded server count only if no other one is named. Units are part of the names:
`_s` means seconds, `_bytes` bytes.
"""
_ERRORS = """\
# Errors

An error has the same code in the result's `error.code`, in the dead letter's headers and in the metrics. Codes are
those of remove.bg where it has one. `error.retryable` in a result is true if the same request may succeed later.

The base class of an error decides what the worker does.
"""
_POINTS_TO = """\
**Points to** says where the cause is likely to be, and whether a failure counts towards the limit at which a worker
halts (`CUTSTREAM_WORKER__MAX_CONSECUTIVE_FAILURES` without a success between them): `deployment` always, once for each
photo or background, however its address is written; `request` and `settings` never. After as many that point to the
`settings`, and none that succeeded, further ones are [held back](runbook.md#requests-are-held-back). A host that does
not answer is at fault itself, and never counts.
"""
_METRICS = """\
# Metrics

Each worker serves its metrics at `/metrics` in Prometheus's text format, or in OpenMetrics to a reader that accepts it.
There, the durations of requests and stages have exemplars: the `trace_id` of a request that brought a `traceparent`.
Units are seconds and bytes. Labels have few values and never ids. Beside these there are `process_*`, the processor
time, memory and open files of the worker's main process.

Whoever reaches the port may read them, unless `CUTSTREAM_WORKER__METRICS_TOKEN` is set. Prometheus then needs the same
token, which it can read from a file; `/healthz` and `/readyz` are open all the same, so that probes need no secret:

```yaml
scrape_configs:
  - job_name: cutstream
    authorization: {type: Bearer, credentials_file: /etc/prometheus/cutstream-token}
    static_configs: [{targets: ["worker-0:9100"]}]
```

The port answers GET and HEAD, one request a connection, and encrypts nothing. It has at most 256 connections; the
oldest is closed for a new one, and an idle one after 5 s.
"""
_BUCKETS = """\
## Buckets

The histograms are classic ones. Their last bucket has no bound.
"""
_TOPICS = """\
# Topics and messages

This page describes the Kafka topics and their messages for people. For programs there are
[asyncapi.yaml](asyncapi.yaml) and the JSON Schemas of a [request](schemas/request.json) and of a
[result](schemas/result.json). [Kafka clients](clients.md) lists the clients, codecs and forms of records that are
tested.

* **Results and dead letters:** {read_committed}
* **Keys:** a request's key only decides its partition. Its result has the same key. Without keys, requests spread
  evenly over the partitions, which is fastest.
* **Ids:** the id is the request's `id`, or the id of its CloudEvent, or `<topic>-<partition>-<offset>`. Each pair (id,
  replay) has one result. The outputs are stored below `<destination>/<id>/`.
  * The id of a CloudEvent may be any text of up to 4,096 characters. It is unchanged in the result and its `ce_id`, in
    dead letters and in `cutstream cancel --id`. If a request could not name it as its `id`, its folder has another
    name: what can be read of it, `~`, and its SHA-256, such as `order-12~962b…` for `order/12`.
  * A CloudEvent is named by its source and its id, a request by its id alone. If several sources use the same ids, let
    each request name an `id`, or labels that tell the sources apart. Otherwise their results have the same id, a
    cancellation is for all of them, and only the newest dead letter among them is open.
  * A request whose `id` is not allowed fails, and its result has that id if it is text or a whole number.
* **Urgent requests:** a request on `{urgent}` is read before all requests of the other topics, and gets the
  next free slot for each kind of work (`cutstream submit --urgent`). It does not interrupt what is in flight. Priority
  is a topic, because a partition is committed in its order: within one, nobody can be let past. It is strict, so keep
  urgent requests few. As long as they alone fill the workers, no other request is read.
* **What takes long**, such as a slow source, goes on from `{retry}`, so that it holds no other; it is no attempt.
* **Retries:** a request whose own source, background or destination is away moves to `{retry}` and is tried again
  after a constant delay. It has no result until it succeeds or fails for good. `cutstream dead-letters replay` writes
  to this topic as well. Let only workers and operators write to it: the headers `__cutstream.delivery.*` are believed
  here. On the other topics they are dropped.
* **Sizes:** the key, the value and the headers of a request have at most {limit} KiB together, uncompressed. Each
  header counts {header} bytes more than its name and its value. A larger request fails. Its result has no key if the
  key has more than 64 KiB, and its dead letter holds only what fits.
* **Deadlines:** a request that is read after its `deadline` expires before anything is downloaded.
* **CloudEvents 1.0:** a request may be plain JSON, a CloudEvent in binary mode (`ce_` headers) or a CloudEvent in
  structured mode (`content-type: {structured}`, with `data` or `data_base64`, not both), one event
  per record. A record that has one of the headers `ce_specversion`, `ce_id`, `ce_source` and `ce_type` has to have all
  four. Further attributes of any type are ignored. Results are written in binary mode. The last of several headers with
  the same name counts.
* **Traces:** a result has the `traceparent` and `tracestate` of its request. They are read from the headers, or from
  the CloudEvent if the headers have none. What is malformed by W3C Trace Context is left out, and
  so is a `tracestate` of more than 4 KiB.
* **Unknown fields:** a request with an unknown field is refused. Results may gain fields: ignore those you do not know.
* **Spellings:** the JSON Schema accepts exactly the requests that a worker can read. A whole number may be written as
  `90.0`, a `format` in capitals or as `jpg`, the offset of a time as `+01:00` or `+0100`. The text is UTF-8, with or
  without one byte order mark. Half a surrogate pair (`"\\ud800"`) is no text: JSON Schema cannot say so, and some
  validators accept it, but a worker refuses it. Of a name that an object has twice, the last counts.
* **Lengths:** a length that is a number is in px of an image with a long side of 1000, and scales with the image,
  unless its field says otherwise. A length in a text, such as `roi`, is in px of the image itself, or in %.
"""


def settings_page() -> str:
    parts = [_SETTINGS]
    for section, fields in groupby(settings.fields(), key=lambda field: field[0]):
        rows = [
            (
                f'<a id="{settings.anchor(section, name)}"></a>`{settings.variable(section, name)}`',
                _show_default(node.get("default")),
                describe(node, {}),
                node["description"],
            )
            for _, name, node in fields
        ]
        parts.append(f"## {section}\n\n{table(('variable', 'default', 'values', 'meaning'), rows)}")
    return "\n".join(parts)


def errors_page() -> str:
    lines = inspect.cleandoc(errors.__doc__ or "").splitlines()[2:]
    tree = "\n".join(takewhile(str.strip, lines))
    parts = [f"{_ERRORS}\n```\n{tree}\n```\n"]
    for base in (errors.Retryable, errors.Poison, errors.Expired, errors.Cancelled, errors.Fatal):
        occasion, remedy = _occasion_and_remedy(base)
        columns = ["code", "error", "when", "what to do"]
        rows = [
            [f'<a id="{kind.__name__.lower()}"></a>`{kind.code}`', f"`{kind.__name__}`", *_occasion_and_remedy(kind)]
            for kind in _errors_below(base)
        ]
        note = ""
        if base is errors.Poison:
            columns.append("points to")
            for row, kind in zip(rows, _errors_below(base), strict=True):
                assert issubclass(kind, errors.Poison)
                row.append(f"`{kind.points_to}`")
            note = f"\n{_POINTS_TO}"
        parts.append(f"## {base.__name__}\n\n{occasion} {remedy}\n{note}\n{table(columns, rows)}")
    return "\n".join(parts)


def metrics_page() -> str:
    rows = [
        (f"`{d.name}`", d.kind, d.unit, ", ".join(f"`{label}`" for label in d.labels), d.help, d.remedy)
        for d in DEFINITIONS
    ]
    buckets = [
        (f"`{d.name}`", ", ".join(f"{bound:g}" for bound in d.buckets)) for d in DEFINITIONS if d.kind == "histogram"
    ]
    columns = ("metric", "type", "unit", "labels", "meaning", "when it moves")
    return f"{_METRICS}\n{table(columns, rows)}\n{_BUCKETS}\n{table(('histogram', 'upper bounds'), buckets)}"


def topics_page(kafka: settings.KafkaSettings) -> str:
    topics = [
        (f"`{kafka.requests_topic}`", "requests", "your systems, `cutstream submit`", "the workers, as one group"),
        (
            f"`{kafka.urgent_topic}`",
            "urgent requests, read before all others",
            "your systems, `cutstream submit --urgent`",
            "likewise",
        ),
        (
            f"`{kafka.retry_topic}`",
            "requests whose own source, background or destination is away, until they are due again; those that take "
            "long, and replayed ones",
            "the workers, `cutstream dead-letters`",
            "likewise",
        ),
        (f"`{kafka.results_topic}`", "one result per request", "the workers", "your systems"),
        (
            f"`{kafka.dead_letters_topic}`",
            "records of failed requests, and [marks](dead-letters.md) that close them",
            "the workers, `cutstream dead-letters`",
            "operators",
        ),
        (
            f"`{kafka.cancellations_topic}`",
            "the requests that were [called off](dead-letters.md#cancel), compacted",
            "`cutstream cancel`",
            "every worker, completely",
        ),
        (
            f"`{kafka.backgrounds_topic}`",
            "the [background catalogue](backgrounds.md), compacted",
            "`cutstream backgrounds`",
            "every worker, completely",
        ),
    ]
    return "\n".join(
        (
            _TOPICS.format(
                read_committed=READ_COMMITTED,
                structured=STRUCTURED,
                urgent=kafka.urgent_topic,
                retry=kafka.retry_topic,
                limit=MAX_REQUEST_BYTES // 1024,
                header=HEADER_BYTES,
            ),
            table(("topic", "content", "written by", "read by"), topics),
            _fields_section("Request", Request),
            "A request with several options:\n",
            _example(REQUESTS["full"]),
            _headers_section("Headers of a request (all optional)", REQUEST_HEADERS),
            _headers_section(
                "Headers of a request that is retried or replayed, after the original ones", REDELIVERY_HEADERS
            ),
            _fields_section("Result", Result),
            "The result of the request above:\n",
            _example(RESULTS["ok"]),
            "The result of a request that was refused:\n",
            _example(RESULTS["failed"]),
            _headers_section("Headers of a result", RESULT_HEADERS),
            _headers_section("Headers of a dead letter, after the original ones", DEAD_LETTER_HEADERS),
            _headers_section("Headers of a mark, which closes a dead letter", MARK_HEADERS),
        )
    )


def _fields_section(title: str, kind: type[msgspec.Struct]) -> str:
    definitions = described_schema(kind)["$defs"]
    parts = []
    for name, node in definitions.items():
        heading = f"## {title}" if name == kind.__name__ else f"### `{name}`"
        rows = [_field_row(field, schema, node, definitions) for field, schema in node["properties"].items()]
        fields = table(("field", "default", "values", "meaning"), rows)
        parts.append(f"{heading}\n\n{node['description']}\n\n{fields}")
    return "\n".join(parts)


def _field_row(field: str, schema: Node, parent: Node, definitions: Mapping[str, Node]) -> tuple[str, ...]:
    default = "*required*" if field in parent["required"] else _show_default(schema.get("default"))
    return f"`{field}`", default, describe(schema, definitions), _meaning(schema, definitions)


def _meaning(schema: Node, definitions: Mapping[str, Node]) -> str:
    """Return the description of a field, or that of its type if it has none of its own."""
    candidates = (schema, resolve(schema, definitions), *schema.get("anyOf", ()), schema.get("items", {}))
    descriptions = (resolve(candidate, definitions).get("description") for candidate in candidates)
    return schema.get("description") or next(filter(None, descriptions), "")


def _headers_section(title: str, headers: Mapping[str, str]) -> str:
    return f"### {title}\n\n{table(('header', 'value'), [(f'`{name}`', text) for name, text in headers.items()])}"


def _example(message: msgspec.Struct) -> str:
    return f"```json\n{as_json(msgspec.to_builtins(message))}```\n"


def _errors_below(base: type[CutstreamError]) -> Iterator[type[CutstreamError]]:
    """Yield the errors with a code below `base` in the order of their tree, or `base` itself if it has none."""

    def below(kind: type[CutstreamError]) -> Iterator[type[CutstreamError]]:
        for child in kind.__subclasses__():
            if child.__name__ in errors.__all__:  # and no error of a test
                if child.code != CutstreamError.code:
                    yield child
                yield from below(child)

    yield from list(below(base)) or [base]


def _occasion_and_remedy(kind: type[CutstreamError]) -> tuple[str, str]:
    occasion, _, remedy = inspect.cleandoc(kind.__doc__ or "").partition("\n\n")
    return " ".join(occasion.split()), " ".join(remedy.split())


def _show_default(value: object) -> str:
    match value:
        case None:
            return "*unset*"
        case "" | [] | {}:
            return "*empty*"
        case bool():
            return f"`{str(value).lower()}`"
        case [*items]:
            return f"`{','.join(map(str, items))}`"
    return f"`{value}`"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = (head, ["---"] * len(head), *([_cell(cell) for cell in row] for row in rows))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def as_json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"

"""The pages made from code, as Markdown: settings, errors, metrics, topics and messages."""

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
from cutstream.contract.schemas import REQUESTS, RESULTS, json_schema
from cutstream.errors import CutstreamError
from cutstream.metrics import DEFINITIONS
from docs.generate.asyncapi import DEAD_LETTER_HEADERS, READ_COMMITTED, REQUEST_HEADERS, RESULT_HEADERS

_SETTINGS = """\
# Settings

Every setting is an environment variable, `CUTSTREAM_<SECTION>__<NAME>`, or an entry of a TOML file that
`CUTSTREAM_CONFIG` names: `CUTSTREAM_WORKER__WINDOW=8` is the same as `window = 8` under `[worker]`. The environment
wins over the file. In variables lists are comma-separated, and an empty variable counts as unset. An unknown
`CUTSTREAM_` variable is an error. `cutstream worker --check` validates and prints what counts, secrets hidden.
"""
_ERRORS = """\
# Errors

The code is the same in a result's `error.code`, in the dead letter's headers and in the metrics. Codes follow
remove.bg's where it has one. A result says with `error.retryable` whether the same request may succeed later.
"""
_METRICS = """\
# Metrics

At `/metrics` of each worker, in Prometheus's text format. Units are seconds and bytes; labels have few values.
"""
_TOPICS = """\
# Topics and messages

The contract for machines is [asyncapi.yaml](asyncapi.yaml) with the JSON Schemas of a
[request](schemas/request.json) and a [result](schemas/result.json); this page is the same for people.

* **Results and dead letters:** {read_committed}
* **Keys:** a request's key is free. It decides the partition and nothing else; the result carries it too. Without
  keys requests spread evenly, which is the fastest.
* **Ids:** the request's `id`, else the CloudEvent's id, else `<topic>-<partition>-<offset>`. The pair (id, replay)
  has one result. ObjectStore lie under `<destination>/<id>/`.
* **CloudEvents 1.0:** requests are read plain, in binary mode (`ce_` headers) and in structured mode
  (`content-type: {structured}`, with `data` or `data_base64`). Results are written in binary mode.
* **Traces:** `traceparent` and `tracestate` come from the request's headers, or else from the event, and go to its
  result.
* **Unknown fields** of a request are refused. Results may gain fields: ignore those you do not know.
"""


def settings_page() -> str:
    parts = [_SETTINGS]
    for section, fields in groupby(settings.fields(), key=lambda field: field[0]):
        rows = [
            (
                f'<a id="{settings.anchor(section, name)}"></a>`{settings.variable(section, name)}`',
                _default(node.get("default")),
                describe(node, {}),
                node["description"],
            )
            for _, name, node in fields
        ]
        parts.append(f"## {section}\n\n{_table(('variable', 'default', 'form', 'meaning'), rows)}")
    return "\n".join(parts)


def errors_page() -> str:
    lines = inspect.cleandoc(errors.__doc__ or "").splitlines()[2:]
    tree = "\n".join(takewhile(str.strip, lines))
    parts = [f"{_ERRORS}\n```\n{tree}\n```\n"]
    for base in (errors.Retryable, errors.Poison, errors.Expired, errors.Fatal):
        when, what = _when_and_what(base)
        rows = [
            (f'<a id="{kind.__name__.lower()}"></a>`{kind.code}`', f"`{kind.__name__}`", *_when_and_what(kind))
            for kind in _kinds(base)
        ]
        table = _table(("code", "error", "when", "what to do"), rows)
        parts.append(f"## {base.__name__}\n\n{when} {what}\n\n{table}")
    return "\n".join(parts)


def metrics_page() -> str:
    rows = [
        (f"`{d.name}`", d.kind, ", ".join(f"`{label}`" for label in d.labels), d.help, d.remedy) for d in DEFINITIONS
    ]
    return f"{_METRICS}\n{_table(('metric', 'type', 'labels', 'meaning', 'when it moves'), rows)}"


def topics_page(kafka: settings.KafkaSettings) -> str:
    topics = [
        (f"`{kafka.requests_topic}`", "requests", "upstream systems, `cutstream submit`", "the workers' group"),
        (f"`{kafka.results_topic}`", "one result per request", "the workers", "downstream systems"),
        (f"`{kafka.dead_letters_topic}`", "originals of failed requests", "the workers", "operators"),
        (
            f"`{kafka.backgrounds_topic}`",
            "the [catalogue of backgrounds](backgrounds.md), compacted",
            "`cutstream backgrounds`",
            "every worker, whole",
        ),
    ]
    return "\n".join(
        (
            _TOPICS.format(read_committed=READ_COMMITTED, structured=STRUCTURED),
            _table(("topic", "holds", "written by", "read by"), topics),
            _fields_section("Request", Request),
            _example(REQUESTS["full"]),
            _headers_section("Headers of a request (all optional)", REQUEST_HEADERS),
            _fields_section("Result", Result),
            _example(RESULTS["ok"]),
            _headers_section("Headers of a result", RESULT_HEADERS),
            _headers_section("Headers of a dead letter, after the original ones", DEAD_LETTER_HEADERS),
        )
    )


def _fields_section(title: str, kind: type[msgspec.Struct]) -> str:
    definitions = json_schema(kind)["$defs"]
    parts = []
    for name, node in definitions.items():
        heading = f"## {title}" if name == kind.__name__ else f"### `{name}`"
        rows = [_field_row(field, schema, node, definitions) for field, schema in node["properties"].items()]
        table = _table(("field", "default", "form", "meaning"), rows)
        parts.append(f"{heading}\n\n{node['description']}\n\n{table}")
    return "\n".join(parts)


def _field_row(field: str, schema: Node, parent: Node, definitions: Mapping[str, Node]) -> tuple[str, ...]:
    default = "*required*" if field in parent["required"] else _default(schema.get("default"))
    return f"`{field}`", default, describe(schema, definitions), _meaning(schema, definitions)


def _meaning(schema: Node, definitions: Mapping[str, Node]) -> str:
    """A field without a description of its own means what its struct means."""
    candidates = (schema, resolve(schema, definitions), *schema.get("anyOf", ()), schema.get("items", {}))
    found = (resolve(candidate, definitions).get("description") for candidate in candidates)
    return schema.get("description") or next(filter(None, found), "")


def _headers_section(title: str, headers: Mapping[str, str]) -> str:
    return f"### {title}\n\n{_table(('header', 'value'), [(f'`{name}`', text) for name, text in headers.items()])}"


def _example(message: msgspec.Struct) -> str:
    return f"```json\n{as_json(msgspec.to_builtins(message))}```\n"


def _kinds(base: type[CutstreamError]) -> Iterator[type[CutstreamError]]:
    """The named errors below `base`, or `base` itself where it is one."""
    below = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, base) and k is not base]
    yield from below or [base]


def _when_and_what(kind: type[CutstreamError]) -> tuple[str, str]:
    when, _, what = inspect.cleandoc(kind.__doc__ or "").partition("\n\n")
    return " ".join(when.split()), " ".join(what.split())


def _default(value: object) -> str:
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


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = (head, ["---"] * len(head), *([_cell(cell) for cell in row] for row in rows))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def as_json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"

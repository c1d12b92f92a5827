"""What is made from code is up to date, complete, and true."""

from __future__ import annotations

import inspect
import json
import re
from math import isfinite
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from cutstream import errors, settings
from cutstream.contract.dead_letters import Mark, mark_headers
from cutstream.contract.envelope import dead_letter_headers, open_envelope, result_headers
from cutstream.contract.messages import ErrorDetail, decode_request, decode_result
from cutstream.contract.redelivery import Redelivery, redelivery_headers
from cutstream.contract.schemas import RESULTS
from cutstream.errors import CutstreamError
from cutstream.metrics import DEFINITIONS
from cutstream.quality.contour import BANDS
from cutstream.quality.scores import Scores
from docs.generate import __main__ as command
from docs.generate import documents as docs
from docs.generate.asyncapi import DEAD_LETTER_HEADERS, MARK_HEADERS, REDELIVERY_HEADERS, RESULT_HEADERS

ROOT = docs.FOLDER.parent
ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, CutstreamError)]
SOURCES = sorted(
    path
    for folder in ("cutstream", "consumer", "producer", "evaluation", "export", "deploy", "commands", "docs")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".md"}
)


def page(name: str) -> str:
    return (docs.FOLDER / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def asyncapi() -> dict[str, Any]:
    document: dict[str, Any] = msgspec.yaml.decode(page("asyncapi.yaml"))
    return document


@pytest.mark.parametrize("name", list(docs.documents()))
def test_document_is_not_stale(name: str) -> None:
    assert page(name) == docs.documents()[name], "run `make docs`"


def test_check_names_what_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "FOLDER", tmp_path)
    assert command.main([]) == 0
    assert command.main(["--check"]) == 0
    (tmp_path / "errors.md").write_text("old")
    assert command.main(["--check"]) == 1
    assert "docs/errors.md" in capsys.readouterr().err


@pytest.mark.parametrize(("section", "name", "node"), list(settings.fields()))
def test_setting_has_a_meaning_and_an_anchor(section: str, name: str, node: dict[str, Any]) -> None:
    assert node["description"].endswith(".")
    assert f'<a id="{settings.anchor(section, name)}"></a>`{settings.variable(section, name)}`' in page("settings.md")


def test_settings_that_code_and_documents_mention_exist() -> None:
    anchors = {settings.anchor(section, name) for section, name, _ in settings.fields()}
    anchors |= set(settings.Settings.model_fields)
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        mentioned = set(re.findall(r"CUTSTREAM_[A-Z0-9]+__[A-Z0-9_]+\b", text))
        assert mentioned <= set(settings.variables()), path
        assert set(re.findall(r"docs/settings\.md#([a-z0-9-]+)", text)) <= anchors, path


@pytest.mark.parametrize("kind", ERRORS)
def test_error_says_when_and_what_to_do_and_is_in_the_tree(kind: type[CutstreamError]) -> None:
    when, _, what = inspect.cleandoc(kind.__doc__ or "").partition("\n\n")
    assert when.endswith(".")
    assert what.endswith(".")
    assert re.search(rf"^[│├└─ ]*{kind.__name__}\b", errors.__doc__ or "", re.MULTILINE)
    assert kind is CutstreamError or kind.__name__ in page("errors.md")


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.name)
def test_metric_is_listed_with_its_remedy(definition: Any) -> None:
    assert f"| `{definition.name}` | {definition.kind} |" in page("metrics.md")
    assert definition.help.endswith(".")
    assert definition.remedy.endswith(".")


def test_asyncapi_references_resolve(asyncapi: dict[str, Any]) -> None:
    references = re.findall(r"\$ref: '?#/([^'\n]+)'?", page("asyncapi.yaml"))
    assert references
    for reference in references:
        node: Any = asyncapi
        for step in reference.split("/"):
            node = node[step]


def test_asyncapi_tells_readers_to_read_committed(asyncapi: dict[str, Any]) -> None:
    for channel in ("results", "deadLetters"):
        assert "isolation_level=read_committed" in asyncapi["channels"][channel]["description"]


def test_examples_decode(asyncapi: dict[str, Any]) -> None:
    messages = asyncapi["components"]["messages"]
    for example in messages["request"]["examples"]:
        decode_request(json.dumps(example["payload"]).encode())
    for example in messages["requestEvent"]["examples"]:
        headers = [("content-type", messages["requestEvent"]["contentType"].encode())]
        decode_request(open_envelope(json.dumps(example["payload"]).encode(), headers).payload)
    for example in messages["result"]["examples"]:
        decode_result(json.dumps(example["payload"]).encode())


@pytest.mark.parametrize("name", ["request", "result"])
def test_schema_is_a_schema_and_accepts_the_examples(asyncapi: dict[str, Any], name: str) -> None:
    schema = json.loads(page(f"schemas/{name}.json"))
    Draft202012Validator.check_schema(schema)
    for example in asyncapi["components"]["messages"][name]["examples"]:
        Draft202012Validator(schema).validate(example["payload"])


def test_documented_headers_are_those_written() -> None:
    failed = RESULTS["failed"]
    trace = (("traceparent", b""), ("tracestate", b""))
    assert [name for name, _ in result_headers(failed, 0.0, trace)] == list(RESULT_HEADERS)
    error = errors.InvalidRequest("x")
    written = dead_letter_headers([], failed.id, failed.source, ErrorDetail.of(error, "request"), error)
    assert [name for name, _ in written] == list(DEAD_LETTER_HEADERS)
    assert [name for name, _ in mark_headers(Mark("replayed", 3, failed.id, 1))] == list(MARK_HEADERS)
    assert [name for name, _ in redelivery_headers([], Redelivery(failed.source))] == list(REDELIVERY_HEADERS)


def test_every_quality_measure_is_explained() -> None:
    text = page("evaluation.md")
    rows = [line.partition("|")[2].partition("|")[0] for line in text.splitlines() if line.startswith("| `")]
    explained = set(re.findall(r"`(\w+)`", " ".join(rows)))
    assert set(Scores.__struct_fields__) <= explained
    for word, limit in BANDS:
        assert f"| `{word}` | {f'up to {limit:g} px' if isfinite(limit) else 'more'} |" in text


def test_links_between_documents_lead_somewhere() -> None:
    for path in docs.FOLDER.rglob("*.md"):
        for target in re.findall(r"\]\((?!https?://)([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"

"""msgspec's refusals in words that a requester can act on: which field, what is wrong, what is expected."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from cutstream.constraints import Node, describe, nearest, resolve

_WHERE = re.compile(r"(?P<what>.*?)(?: - at (?:`key` in )?`\$\.?(?P<path>.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`")
_STEP = re.compile(r"[^.\[\]]+|\[[^\]]*\]")
_TYPE = re.compile(r"Expected `.*?`, got `(?P<got>\w+)`")

_LONGEST_NAME = 100

Definitions = Mapping[str, Node]


def explain(error: msgspec.ValidationError, kind: type[msgspec.Struct]) -> str:
    """For instance "`quality`: expected a whole number from 1 to 100"."""
    found = _WHERE.fullmatch(str(error))
    assert found is not None  # the pattern matches every text
    what, path = found["what"], found["path"] or ""
    definitions = _definitions(kind)
    node = _walk(definitions[kind.__name__], path, definitions)
    if unknown := _UNKNOWN.fullmatch(what):
        return _unknown(unknown["name"], path, _structure(node, definitions))
    if missing := _MISSING.fullmatch(what):
        return f"missing field `{_join(path, missing['name'])}`"
    if what.startswith(("Expected", "Invalid", "Number")):
        expected = describe(node, definitions) + _but(what)
        return f"`{path}`: expected {expected}" if path else f"expected a JSON object{_but(what)}"
    return what


def _unknown(name: str, path: str, node: Node) -> str:
    name = name[:_LONGEST_NAME]
    known = node["properties"]
    hint = nearest(name, known) or f"; known are {', '.join(f'`{k}`' for k in known)}"
    return f"unknown field `{_join(path, name)}`{hint}"


def _but(what: str) -> str:
    found = _TYPE.fullmatch(what)
    return f", not `{found['got']}`" if found else ""


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _walk(node: Node, path: str, definitions: Definitions) -> Node:
    """The schema of, for instance, `outputs[0]` or `refine.kernel`."""
    for step in _STEP.findall(path):
        node = _step(_structure(node, definitions), step)
    return node


def _step(node: Node, step: str) -> Node:
    if step.startswith("["):
        item: Node = node.get("items") or node["additionalProperties"]
        return item
    field: Node = node["properties"][step]
    return field


def _structure(node: Node, definitions: Definitions) -> Node:
    """Without its `$ref`; of a union the member that has fields."""
    members = [part for part in node.get("anyOf", ()) if "$ref" in part]
    return resolve(members[0] if members else node, definitions)


@cache
def _definitions(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return msgspec.json.schema_components([kind])[1]

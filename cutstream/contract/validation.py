"""Explain msgspec's validation errors to a requester: which field is wrong, why, and what is expected."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from cutstream.constraints import Node, describe, nearest, resolve

_MESSAGE = re.compile(r"(?P<problem>.*?)(?: - at (?:`key` in )?`\$\.?(?P<path>.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`")
_STEP = re.compile(r"[^.\[\]]+|\[[^\]]*\]")
_TYPE = re.compile(r"Expected `.*?`, got `(?P<got>\w+)`")

_LONGEST_NAME = 100

Definitions = Mapping[str, Node]


def explain(error: msgspec.ValidationError, kind: type[msgspec.Struct]) -> str:
    """Explain an error in a message of type `kind`, for instance "`quality`: expected a whole number from 1 to 100"."""
    message = _MESSAGE.fullmatch(str(error))
    assert message is not None  # the pattern matches every text
    problem, path = message["problem"], message["path"] or ""
    definitions = _definitions(kind)
    node = _walk(definitions[kind.__name__], path, definitions)
    if unknown := _UNKNOWN.fullmatch(problem):
        return _unknown(unknown["name"], path, _structure(node, definitions))
    if missing := _MISSING.fullmatch(problem):
        return f"missing field `{_join(path, missing['name'])}`"
    if problem.startswith(("Expected", "Invalid", "Number")):
        expected = describe(node, definitions) + _received(problem)
        return f"`{path}`: expected {expected}" if path else f"expected a JSON object{_received(problem)}"
    return problem


def _unknown(name: str, path: str, node: Node) -> str:
    name = name[:_LONGEST_NAME]
    known = node["properties"]
    hint = nearest(name, known) or f"; known are {', '.join(f'`{k}`' for k in known)}"
    return f"unknown field `{_join(path, name)}`{hint}"


def _received(problem: str) -> str:
    match = _TYPE.fullmatch(problem)
    return f", not `{match['got']}`" if match else ""


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _walk(node: Node, path: str, definitions: Definitions) -> Node:
    """Return the schema of a path such as `outputs[0]` or `refine.kernel`."""
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
    """Resolve a node to the one that has fields, which may be a member of a union."""
    members = [part for part in node.get("anyOf", ()) if "$ref" in part]
    return resolve(members[0] if members else node, definitions)


@cache
def _definitions(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return msgspec.json.schema_components([kind])[1]

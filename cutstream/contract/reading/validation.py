"""Explain msgspec's validation errors to a requester: which field is wrong, why, and what is expected."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import msgspec

from cutstream.constraints import Node, describe, nearest, resolve

_MESSAGE = re.compile(r"(?P<problem>.*?)(?: - at (?:`key` in )?`\$\.?(?P<path>.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`")
_STEP = re.compile(r"[^.\[\]]+|\[[^\]]*\]")
_TYPE = re.compile(r"Expected `.*?`, got `(?P<got>\w+)`")
_TYPES = {
    "array": "a list",
    "bool": "`true` or `false`",
    "float": "a number",
    "int": "a number",
    "object": "an object",
    "null": "`null`",
    "str": "text",
}
_INDEX = re.compile(r"\[(\d+)\]")

_LONGEST_NAME = 100
_MOST_ENTRIES = 1000  # that are looked at to find the one that is wrong
_ANY_ENTRY = "[...]"
_MISSING_VALUE = object()
_LARGEST_SHOWN = 1e15

Definitions = Mapping[str, Node]


def explain(error: msgspec.ValidationError, kind: type[msgspec.Struct], fields: object = None) -> str:
    """Explain an error in a message of type `kind`.

    For instance "`quality`: expected a whole number from 1 to 100, not 101". `fields` is the message as plain values,
    if it is known: then the explanation says which value is wrong.
    """
    message = _MESSAGE.fullmatch(str(error))
    assert message is not None  # the pattern matches every text
    problem, path = message["problem"], message["path"] or ""
    definitions = _definitions(kind)
    node = _walk(definitions[kind.__name__], path, definitions)
    if unknown := _UNKNOWN.fullmatch(problem):
        return _unknown(unknown["name"], path, _structure(node, definitions))
    if missing := _MISSING.fullmatch(problem):
        return f"missing field `{_join(path, missing['name'])}`"
    if not problem.startswith(("Expected", "Invalid", "Number", "Integer")):
        return problem
    if not path:
        hint = ": send the object itself, not a text that holds it" if isinstance(fields, str) else ""
        return f"expected a JSON object{_received(problem)}{hint}"
    return _explain_value(_Place(path, " - at `key` in " in str(error)), problem, node, kind, fields)


@dataclass(frozen=True)
class _Place:
    """A path such as `refine.kernel` or `labels[...]`, or the names in the object there."""

    path: str
    is_name: bool = False


def _explain_value(place: _Place, problem: str, node: Node, kind: type[msgspec.Struct], fields: object) -> str:
    definitions = _definitions(kind)
    if place.is_name or place.path.endswith(_ANY_ENTRY):
        return _explain_entry(place, problem, node, kind, fields)
    value = _value_at(fields, place.path)
    return f"`{place.path}`: expected {describe(node, definitions)}{_instead(problem, value, node)}"


def _explain_entry(place: _Place, problem: str, node: Node, kind: type[msgspec.Struct], fields: object) -> str:
    """Explain what is wrong with an entry of an object that may have any names."""
    path = place.path.removesuffix(_ANY_ENTRY)
    expected = describe({"type": "string", **node["propertyNames"]} if place.is_name else node, _definitions(kind))
    entry = _wrong_entry(fields, path, problem, kind)
    if entry is None:
        return f"`{path}`: expected {'each name ' if place.is_name else 'each value '}{expected}{_received(problem)}"
    name, value = entry
    if place.is_name:
        return f"`{path}`: the name {_quote(name)} is not {expected}"
    return f"`{path}[{_quote(name)}]`: expected {expected}{_instead(problem, value, node)}"


def _wrong_entry(fields: object, name: str, problem: str, kind: type[msgspec.Struct]) -> tuple[str, object] | None:
    """Return the first entry of the object `name` that alone has the problem."""
    entries = _value_at(fields, name)
    if not isinstance(fields, dict) or not isinstance(entries, dict):
        return None
    for key, value in islice(entries.items(), _MOST_ENTRIES):
        try:
            msgspec.convert({**fields, name: {key: value}}, kind)
        except msgspec.ValidationError as exc:
            if str(exc).startswith(problem):
                return key, value
    return None


def _value_at(fields: object, path: str) -> object:
    """Return the value at a path such as `outputs[0]`, or _MISSING_VALUE."""
    for step in _STEP.findall(path):
        index = _INDEX.fullmatch(step)
        try:
            fields = fields[int(index[1]) if index else step]  # type: ignore[index]
        except (TypeError, LookupError):
            return _MISSING_VALUE
    return fields


def _instead(problem: str, value: object, node: Node) -> str:
    """Say what was received instead: its type if that is wrong, or else its value or its length."""
    received = _received(problem)
    match value:
        case bool() if received:
            return f", not `{str(value).lower()}`"
        case int() | float() if abs(value) >= _LARGEST_SHOWN:
            return ", not a number as large as this"
        case int() | float():
            return f", not the number {value}" if received else f", not {value}"
        case _ if received:
            return received
        case str() if len(value) <= _LONGEST_NAME:
            choices = _choices(node)
            return f", not {value!r}" + (nearest(value, choices) or nearest(value.lower(), choices))
        case str():
            return f", not {len(value):,} characters"
        case list():
            return f", not {len(value):,} items"
        case dict():
            return f", not {len(value):,} entries"
    return ""


def _choices(node: Node) -> list[str]:
    """Return the texts that a node, or a member of its union, allows."""
    members = (node, *node.get("anyOf", ()))
    return [text for part in members for text in (*part.get("enum", ()), *filter(None, [part.get("const")]))]


def _quote(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_NAME else text[:_LONGEST_NAME] + "…")


def _unknown(name: str, path: str, node: Node) -> str:
    name = name[:_LONGEST_NAME]
    known = node["properties"]
    hint = nearest(name, known) or f"; known are {', '.join(f'`{k}`' for k in known)}"
    return f"unknown field `{_join(path, name)}`{hint}"


def _received(problem: str) -> str:
    match = _TYPE.fullmatch(problem)
    return f", not {_TYPES.get(match['got'], match['got'])}" if match else ""


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

"""Describe JSON Schema nodes in words.

Error messages and generated documents take their descriptions from here, so they always agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

Node = Mapping[str, Any]

_FORMATS = {
    "path": "a path",
    "password": "text (secret)",
    "date-time": "an RFC 3339 time with its offset, for instance 2030-01-31T12:00:00Z",
}


def describe(node: Node, definitions: Mapping[str, Node]) -> str:
    """Describe what a node accepts, for instance "a whole number from 1 to 100".

    `definitions` are the schema's `$defs`.
    """
    if "anyOf" in node:
        return " or ".join(describe(part, definitions) for part in node["anyOf"])
    if "$ref" in node:
        return describe(resolve(node, definitions), definitions)
    if "enum" in node:
        return "one of " + ", ".join(f"`{value}`" for value in node["enum"])
    if "const" in node:
        return f"`{node['const']}`"
    return _typed(node, definitions)


def resolve(node: Node, definitions: Mapping[str, Node]) -> Node:
    """Follow the node's `$ref`, if it has one."""
    return definitions[node["$ref"].rsplit("/", 1)[-1]] if "$ref" in node else node


def is_secret(node: Node) -> bool:
    """Return whether values of this node are secrets, which no message may quote."""
    return any(part.get("format") == "password" for part in (node, *node.get("anyOf", ())))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...?` with the known name that is most similar, or an empty text if none is."""
    matches = get_close_matches(name, list(known), n=1)
    return f"; did you mean `{matches[0]}`?" if matches else ""


def _typed(node: Node, definitions: Mapping[str, Node]) -> str:
    match node.get("type"):
        case "boolean":
            return "`true` or `false`"
        case "integer":
            return "a whole number" + _range(node)
        case "number":
            return "a number" + _range(node)
        case "array":
            return f"a list{_count(node, 'items')}, each {describe(node['items'], definitions)}"
        case "object":
            return _object(node, definitions)
        case "string":
            if node.get("contentEncoding") == "base64":
                return "text in Base64"
            return _FORMATS.get(node.get("format", ""), "text" + _count(node, "characters") + _pattern(node))
    return "null"


def _object(node: Node, definitions: Mapping[str, Node]) -> str:
    if "properties" in node:
        return "an object with " + ", ".join(f"`{name}`" for name in node["properties"])
    values = describe(node["additionalProperties"], definitions)
    names = f", each name text{_count(node['propertyNames'], 'characters')}" if "propertyNames" in node else ""
    return f"an object{_count(node, 'entries')}{names}, each value {values}"


def _pattern(node: Node) -> str:
    """Return the node's description in place of its regular expression, which it puts in words."""
    return f" ({node['description']})" if "pattern" in node else ""


def _range(node: Node) -> str:
    low, above, high = (node.get(name) for name in ("minimum", "exclusiveMinimum", "maximum"))
    if low is not None and high is not None:
        return f" from {low:,} to {high:,}"
    words = (("at least", low), ("above", above), ("at most", high))
    limits = [f"{word} {limit:,}" for word, limit in words if limit is not None]
    return " " + " and ".join(limits) if limits else ""


def _count(node: Node, noun: str) -> str:
    suffix = {"items": "Items", "entries": "Properties", "characters": "Length"}[noun]
    low, high = node.get(f"min{suffix}", 0), node.get(f"max{suffix}")
    if high is None:
        return f" of at least {low:,} {noun}" if low else ""
    return f" of {low:,} to {high:,} {noun}" if low else f" of at most {high:,} {noun}"

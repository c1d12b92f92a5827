"""Every limit of every field is kept exactly, and a message about it names the field and the limit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from cutstream.contract.messages import Request, decode_request
from cutstream.errors import InvalidRequest

SCHEMA = msgspec.json.schema(Request)
DEFINITIONS = SCHEMA["$defs"]
NEEDED = {"shadow": {"type": "drop"}, "perspective": {"baseline": "0 0 1 0"}, "gradient": {"colors": ["red", "blue"]}}

Path = tuple[str | int, ...]


def leaves(node: dict[str, Any], path: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield each part of a request that has a limit or a choice, by the way to it."""
    if "$ref" in node:
        node = DEFINITIONS[node["$ref"].rsplit("/", 1)[-1]]
    for member in node.get("anyOf", ()):
        yield from leaves(member, path)
    for name, field in node.get("properties", {}).items():
        yield from leaves(field, (*path, name))
    if "items" in node:
        yield from leaves(node["items"], (*path, 0))
    if not {"maxLength", "maximum", "maxItems", "maxProperties", "enum"}.isdisjoint(node):
        yield path, node


LEAVES = list(leaves({"$ref": "Request"}))
LIMITED = [(path, node) for path, node in LEAVES if "enum" not in node]
CHOICES = [(path, node["enum"]) for path, node in LEAVES if "enum" in node]


def request_with(path: Path, value: Any) -> bytes:
    """Return a request that has the value at the path, and what the objects on the way need."""
    fields: dict[str, Any] = {"image": "s3://a/b.jpg"}
    place: Any = fields
    for step, following in pairwise(path):
        if isinstance(following, int):
            place[step] = [None, "blue"] if step == "colors" else [None]
        else:
            place[step] = dict(NEEDED.get(str(step), {}))
        place = place[step]
    place[path[-1]] = value
    return json.dumps(fields).encode()


def written(path: Path) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def at_limit(node: dict[str, Any], beyond: int) -> tuple[Any, int]:
    """Return a value at the node's upper limit, or beyond it, and the limit."""
    if "maximum" in node:
        return node["maximum"] + beyond, node["maximum"]
    if "maxLength" in node:
        return "x" * (node["maxLength"] + beyond), node["maxLength"]
    if "maxProperties" in node:
        return {str(n): "" for n in range(node["maxProperties"] + beyond)}, node["maxProperties"]
    choices = node["items"].get("enum", ["red"] * node["maxItems"])
    return (choices + choices)[: node["maxItems"] + beyond], node["maxItems"]


def below_limit(node: dict[str, Any]) -> tuple[Any, int] | None:
    """Return a value below the node's lower limit, and the limit, if it has one."""
    for name in ("minimum", "exclusiveMinimum"):
        if name in node:
            return (node[name] - 1 if name == "minimum" else node[name]), node[name]
    if node.get("minLength"):
        return "", node["minLength"]
    return ([], node["minItems"]) if node.get("minItems") else None


@pytest.mark.parametrize(
    ("path", "node"), LIMITED, ids=lambda value: written(value) if isinstance(value, tuple) else ""
)
def test_a_value_at_its_limit_is_accepted_and_one_beyond_is_refused_by_name(path: Path, node: dict[str, Any]) -> None:
    decode_request(request_with(path, at_limit(node, 0)[0]))
    for value, limit in filter(None, (at_limit(node, 1), below_limit(node))):
        with pytest.raises(InvalidRequest) as refused:
            decode_request(request_with(path, value))
        assert str(refused.value).startswith(f"`{written(path)}`: expected ")
        assert f"{limit:,}" in str(refused.value)


@pytest.mark.parametrize(
    ("path", "choices"), CHOICES, ids=lambda value: written(value) if isinstance(value, tuple) else ""
)
def test_an_unknown_choice_lists_all_and_suggests_the_nearest(path: Path, choices: list[str]) -> None:
    for choice in choices:
        decode_request(request_with(path, choice))
        for misspelt in (f"{choice}x", choice[:-1]):
            with pytest.raises(InvalidRequest) as refused:
                decode_request(request_with(path, misspelt))
            assert str(refused.value).startswith(f"`{written(path)}`: expected one of ")
            assert all(f"`{name}`" in str(refused.value) for name in choices)
            assert str(refused.value).endswith(f", not {misspelt!r}; did you mean `{choice}`?")


def test_the_tables_have_every_kind_of_limit_and_choice() -> None:
    limited, chosen = ({written(path) for path, _ in table} for table in (LIMITED, CHOICES))
    assert {"image", "quality", "outputs", "labels", "shadow.light.angle", "background.gradient.colors[0]"} <= limited
    assert {"outputs[0]", "format", "matting", "matting.method", "shadow", "shadow.type", "background.fit"} <= chosen

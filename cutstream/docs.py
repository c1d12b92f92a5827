"""Writes every document that is made from code; `python -m cutstream.docs --check` only says which are stale."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from cutstream.asyncapi import asyncapi
from cutstream.messages import Request, Result
from cutstream.pages import as_json, errors_page, metrics_page, settings_page, topics_page
from cutstream.schema import json_schema
from cutstream.settings import Settings

FOLDER = Path(__file__).parents[1] / "docs"
NOTE = "<!-- Made by `make docs`; do not edit. -->\n\n"


def documents() -> dict[str, str]:
    """Text of every generated document by its path under docs/."""
    defaults = Settings.model_construct()
    return {
        "asyncapi.yaml": msgspec.yaml.encode(asyncapi(defaults)).decode(),
        "errors.md": NOTE + errors_page(),
        "metrics.md": NOTE + metrics_page(),
        "schemas/request.json": as_json(json_schema(Request)),
        "schemas/result.json": as_json(json_schema(Result)),
        "settings.md": NOTE + settings_page(),
        "topics.md": NOTE + topics_page(defaults.kafka),
    }


def stale(folder: Path) -> list[str]:
    """Paths under `folder` that are missing or differ from what the code says."""
    return [name for name, text in documents().items() if _read(folder / name) != text]


def write(folder: Path) -> None:
    for name, text in documents().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def main(arguments: list[str]) -> int:
    if arguments != ["--check"]:
        write(FOLDER)
        return 0
    if names := stale(FOLDER):
        sys.stderr.write(f"stale, run `make docs`: {', '.join(f'docs/{name}' for name in names)}\n")
    return bool(names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Every document that is generated from code."""

from __future__ import annotations

from pathlib import Path

import msgspec

from cutstream.contract.messages import Request, Result
from cutstream.contract.schemas import json_schema
from cutstream.settings import Settings
from docs.generate.asyncapi import asyncapi
from docs.generate.pages import as_json, errors_page, metrics_page, settings_page, topics_page

FOLDER = Path(__file__).parents[1]
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

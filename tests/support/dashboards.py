"""The generated dashboards as Grafana would load them, and what Grafana would ask Prometheus."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from deploy.monitoring.files import FOLDER

PATHS = sorted((FOLDER / "grafana" / "dashboards").glob("*.json"))
GPU_PANELS = {"Utilisation of the GPU", "Memory of the GPU"}
"""Panels that have data only where there is a GPU."""


def dashboards() -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in PATHS]


def value_of(variable: dict[str, Any]) -> str:
    """Return what a variable stands for at first: all values, or the text that is typed in."""
    return variable.get("allValue") or variable["query"]


def questions(dashboard: dict[str, Any], rate_interval: str) -> Iterator[tuple[dict[str, Any], dict[str, Any], str]]:
    """Yield each panel, each of its targets, and the target's query with all variables replaced."""
    known = {variable["name"]: value_of(variable) for variable in dashboard["templating"]["list"]}
    known["__rate_interval"] = rate_interval

    def replace(match: re.Match[str]) -> str:
        return known[match[1]]

    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel, target, re.sub(r"\$(\w+)", replace, target["expr"])

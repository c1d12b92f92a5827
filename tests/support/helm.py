"""Helm, the chart's examples, and what the chart makes of them.

`make helm-tools` builds Helm and fetches the schemas (`python -m tests.support.helm_tools`). `make chart` renders the
examples into the golden files that are reviewed with each change of the chart.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).parents[2]
CHART = CHECKOUT / "deploy" / "helm" / "cutstream"
GOLDEN = CHECKOUT / "tests" / "unit" / "deploy" / "helm" / "golden"
DIGEST = GOLDEN / "chart.sha256"
TOOLS = CHECKOUT / ".state" / "helm-tools"
KUBERNETES = "1.33"
"""The version of Kubernetes that the chart is rendered and checked for."""

EXAMPLES = tuple(sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml")))
NO_HELM = "Helm is not installed: `make helm-tools` builds it with Go"


def helm() -> str | None:
    """Return the program, built by `make helm-tools` or installed. None without one."""
    return shutil.which("helm", path=str(TOOLS / "bin")) or shutil.which("helm")


def run_helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = helm()
    assert program, NO_HELM
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)


def template(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Render the chart as the release `cutstream` in the namespace `shop`."""
    return run_helm(
        "template", "cutstream", str(CHART), "--namespace", "shop", "--kube-version", KUBERNETES, *arguments
    )


def values(example: str) -> Path:
    return CHART / "ci" / f"{example}-values.yaml"


def golden(example: str) -> Path:
    return GOLDEN / f"{example}.yaml"


def manifests(text: str) -> list[dict[str, Any]]:
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


def reviewed(rendered: str) -> str:
    """Return what a golden file has of a rendered chart: all but the alerts, which are generated."""
    documents = rendered.split("\n---\n")
    return (
        "\n---\n".join(
            document.partition("\n  groups:")[0] if "\nkind: PrometheusRule\n" in document else document
            for document in documents
        ).rstrip("\n")
        + "\n"
    )


def digest() -> str:
    """Return the digest of all that the golden files are made from."""
    total = hashlib.sha256()
    for path in sorted(path for path in CHART.rglob("*") if path.is_file() and path.name != "rules.yml"):
        total.update(f"{path.relative_to(CHART)}\0".encode() + path.read_bytes() + b"\0")
    return total.hexdigest()


def main() -> int:
    """Write the golden files."""
    if helm() is None:
        sys.stderr.write(f"{NO_HELM}\n")
        return 1
    shutil.rmtree(GOLDEN, ignore_errors=True)
    GOLDEN.mkdir()
    for example in EXAMPLES:
        rendered = template("--values", str(values(example)))
        if rendered.returncode or rendered.stderr:
            sys.stderr.write(f"{example}: {rendered.stderr}")
            return 1
        golden(example).write_text(reviewed(rendered.stdout), encoding="utf-8")
    DIGEST.write_text(f"{digest()}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What the chart makes fits the schemas of Kubernetes, KEDA and the Prometheus operator, without unknown fields."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from deploy.monitoring.rules import rules
from tests.support.helm import EXAMPLES, golden, manifests
from tests.support.helm_tools import VALIDATOR, definitions

REASON = "the schemas are missing: `make helm-tools` fetches them"
OTHERS = ("keda.sh/", "monitoring.coreos.com/")


def is_of_kubernetes(manifest: dict[str, Any]) -> bool:
    return not manifest["apiVersion"].startswith(OTHERS)


@pytest.mark.skipif(not VALIDATOR.exists(), reason=REASON)
@pytest.mark.parametrize("version", ["1.30", "1.35"])
def test_manifests_fit_kubernetes(version: str, tmp_path: Path) -> None:
    files, checks = [], 0
    for example in EXAMPLES:
        files.append(tmp_path / f"{example}.yaml")
        ours = [each for each in manifests(golden(example).read_text()) if is_of_kubernetes(each)]
        files[-1].write_text(yaml.safe_dump_all(ours))
        checks += len(ours)
    checked = subprocess.run(
        [sys.executable, "-m", "kubernetes_validate", "--strict", "-k", version, *map(str, files)],
        env={**os.environ, "PYTHONPATH": str(VALIDATOR)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = checked.stdout.splitlines()
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert [line for line in lines if not line.startswith("INFO")] == []
    assert len(lines) == checks


@pytest.fixture(scope="module")
def schemas() -> dict[tuple[str, str], Any]:
    """The schemas of the operators' objects by version and kind."""
    found = {}
    for path in definitions():
        spec = yaml.load(path.read_text(), yaml.CSafeLoader)["spec"]
        for version in spec["versions"]:
            name = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
            found[name] = _strict(version["schema"]["openAPIV3Schema"])
    return found


@pytest.mark.skipif(not definitions(), reason=REASON)
@pytest.mark.parametrize("example", EXAMPLES)
def test_objects_of_operators_fit_their_definitions(example: str, schemas: dict[tuple[str, str], Any]) -> None:
    for manifest in manifests(golden(example).read_text()):
        if not is_of_kubernetes(manifest):
            manifest["spec"] = manifest["spec"] or {"groups": []}  # the alerts are left out of the reviewed files
            schema = schemas[manifest["apiVersion"], manifest["kind"]]
            jsonschema.Draft7Validator(schema).validate(manifest)


@pytest.mark.skipif(not definitions(), reason=REASON)
def test_alerts_fit_their_definition(schemas: dict[tuple[str, str], Any]) -> None:
    schema = schemas["monitoring.coreos.com/v1", "PrometheusRule"]["properties"]["spec"]
    jsonschema.Draft7Validator(schema).validate(rules())


def _strict(schema: Any) -> Any:
    """Return the schema with unknown fields refused, as the API server does with `--validate=strict`."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(each) for key, each in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        strict.pop("type", None)
    return strict

"""Helm itself accepts the chart, and makes of each example what was reviewed (`make chart`)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jsonschema
import pytest
import yaml

from deploy.monitoring.rules import rules
from tests.support.helm import (
    CHART,
    DIGEST,
    EXAMPLES,
    KUBERNETES,
    NO_HELM,
    digest,
    golden,
    helm,
    manifests,
    reviewed,
    run_helm,
    template,
    values,
)

needs_helm = pytest.mark.skipif(helm() is None, reason=NO_HELM)


def merged(base: object, other: object) -> object:
    if not (isinstance(base, dict) and isinstance(other, dict)):
        return other
    return base | {key: merged(base.get(key), value) for key, value in other.items()}


def test_there_are_eight_examples() -> None:
    assert len(EXAMPLES) == 8


def test_golden_files_are_of_this_chart() -> None:
    assert DIGEST.read_text().strip() == digest(), "the chart has changed: run `make chart` and review what it changes"


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_fit_the_schema(example: str) -> None:
    defaults, own = (yaml.safe_load(path.read_text()) for path in (CHART / "values.yaml", values(example)))
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.Draft7Validator(schema).validate(merged(defaults, own))


def test_every_value_is_in_the_schema_and_has_a_default() -> None:
    def names(value: object, path: str = "") -> set[str]:
        if not isinstance(value, dict) or not value:
            return {path}
        return {path} | {name for key, each in value.items() for name in names(each, f"{path}.{key}")}

    def described(schema: dict, path: str = "") -> set[str]:
        own = {path}
        for key, each in schema.get("properties", {}).items():
            own |= described(each, f"{path}.{key}")
        return own

    schema = json.loads((CHART / "values.schema.json").read_text())
    free = ("resources.requests", "resources.limits", ".cpu", ".memory")
    defaults = {name for name in names(yaml.safe_load((CHART / "values.yaml").read_text())) if not name.endswith(free)}
    assert described(schema) - {".global"} == defaults


@needs_helm
@pytest.mark.parametrize("example", EXAMPLES)
def test_helm_finds_nothing_wrong(example: str) -> None:
    linted = run_helm("lint", str(CHART), "--strict", "--kube-version", KUBERNETES, "--values", str(values(example)))
    assert linted.returncode == 0, linted.stdout
    assert "WARNING" not in linted.stdout + linted.stderr


@needs_helm
@pytest.mark.parametrize("example", EXAMPLES)
def test_helm_renders_what_was_reviewed(example: str) -> None:
    rendered = template("--values", str(values(example)))
    assert (rendered.returncode, rendered.stderr) == (0, "")
    assert reviewed(rendered.stdout) == golden(example).read_text()


@needs_helm
def test_alerts_are_the_generated_ones() -> None:
    rendered = template("--values", str(values("strimzi")), "--show-only", "templates/monitoring.yaml")
    found = [each for each in manifests(rendered.stdout) if each["kind"] == "PrometheusRule"]
    assert [each["spec"] for each in found] == [rules()]


@needs_helm
def test_without_workers_at_rest_nobody_is_told_that_there_is_none() -> None:
    rendered = template("--values", str(values("confluent")), "--show-only", "templates/monitoring.yaml")
    (found,) = (each for each in manifests(rendered.stdout) if each["kind"] == "PrometheusRule")
    alerts = {rule.get("alert") for group in found["spec"]["groups"] for rule in group["rules"]}
    assert "CutstreamNoWorker" not in alerts
    assert "CutstreamNoProgress" in alerts


@needs_helm
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("kafka.bootstrapServer=a:9092", "additional properties 'bootstrapServer' not allowed"),
        ("kafka.bootstrapServers=a", "/kafka/bootstrapServers"),
        ("kafka.bootstrapServers=", "/kafka/bootstrapServers"),
        ("kafka.securityProtocol=SASL_SSL", "/kafka/saslMechanism"),
        ("kafka.saslMechanism=AWS_MSK_IAM", "/kafka/saslMechanism"),
        ("kafka.caSecret.name=ca", "/kafka/caSecret/name"),
        ("objectStore.destination=bucket", "/objectStore/destination"),
        ("worker.scaling.photosPerSecond=0", "/worker/scaling/photosPerSecond"),
        ("worker.replicas=9", "9 workers cannot share 8 partitions"),
        ("models.defaultProfile=general", "general is not in models.profiles"),
        ("settings.CUTSTREAM_TRITON__URL=a:1", "the chart sets it from a value of its own"),
        ("settings.CUTSTREAM_LIMITS__MAX_SOURCE_BYTES=5", "got number, want string"),
        ("settings.cutstream=a", "/settings"),
        ("triton.enabled=false", "/triton/address"),
        ("triton.models.source=bucket", "cutstream-triton-cpu reads no bucket"),
        ("triton.models.source=initContainer", "name an image that has the model repository"),
        ("models.engine=tensorrt", "needs NVIDIA's image"),
        ("triton.image=nvidia", "onnxruntime or tensorrt"),
        ("gateway.enabled=true", "cutstream keys create"),
    ],
)
def test_wrong_values_are_refused(wrong: str, message: str) -> None:
    rendered = template("--values", str(values("minimal")), "--set", wrong)
    assert rendered.returncode != 0
    assert message in rendered.stderr


@needs_helm
@pytest.mark.parametrize("example", EXAMPLES)
def test_notes_are_whole(example: str, tmp_path: Path) -> None:
    # Helm prints notes only for a cluster. So a copy of the chart has them as the text of a manifest.
    shutil.copytree(CHART, tmp_path / "cutstream")
    templates = tmp_path / "cutstream" / "templates"
    text = (templates / "NOTES.txt").read_text()
    (templates / "notes.yaml").write_text(
        f'{{{{- define "notes" -}}}}{text}{{{{- end -}}}}\nnotes: {{{{ include "notes" . | toJson }}}}\n'
    )
    rendered = run_helm(
        *("template", "cutstream", str(tmp_path / "cutstream"), "--kube-version", KUBERNETES, "--values"),
        *(str(values(example)), "--show-only", "templates/notes.yaml"),
    )
    notes = yaml.safe_load(rendered.stdout)["notes"]
    assert "deploy/cutstream-worker" in notes
    assert "<no value>" not in notes
    assert "\n\n\n" not in notes
    assert max(map(len, notes.splitlines())) <= 120

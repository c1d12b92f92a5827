"""Kubernetes' own API server accepts every example, under the restricted standard for pods, and its upgrade."""

from __future__ import annotations

import os
import subprocess
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support.helm import CHART, EXAMPLES, NO_HELM, golden, helm, manifests, values
from tests.support.helm_tools import definitions
from tests.support.kubernetes import MISSING, Cluster, api_server, is_built

pytestmark = [
    pytest.mark.skipif(not is_built(), reason=MISSING),
    pytest.mark.skipif(helm() is None, reason=NO_HELM),
    pytest.mark.skipif(not definitions(), reason="KEDA's definitions are missing: `make helm-tools` fetches them"),
]
STANDARD = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with api_server(tmp_path_factory.mktemp("kubernetes")) as running:
        for path in definitions():
            definition = yaml.load(path.read_text(), yaml.CSafeLoader)
            running.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        for example in EXAMPLES:
            namespace = {"metadata": {"name": example, "labels": STANDARD}}
            running.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", **namespace})
            # In a cluster a controller makes it.
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
            running.post(f"/api/v1/namespaces/{example}/serviceaccounts", account)
        yield running


def release(cluster: Cluster, example: str, *arguments: str) -> str:
    """Run Helm for the example's release, and return what it prints. No warning is let pass."""
    done = subprocess.run(
        [str(helm()), *arguments, "--namespace", example],
        env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "arning" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_installed_upgraded_and_rolled_back(cluster: Cluster, example: str) -> None:
    chart = (str(CHART), "--values", str(values(example)))
    printed = release(cluster, example, "install", "cutstream", *chart)
    assert "STATUS: deployed" in printed
    assert "deploy/cutstream-worker" in printed  # the notes
    # A new version: no field that must not change may have it.
    release(cluster, example, "upgrade", "cutstream", *chart, "--set", "image.tag=0.2.0,worker.drainTimeoutSeconds=30")
    release(cluster, example, "rollback", "cutstream", "1")


def pods() -> list[Any]:
    return [
        pytest.param(example, manifest, id=f"{example}-{manifest['metadata']['name']}")
        for example in EXAMPLES
        for manifest in manifests(golden(example).read_text())
        if manifest["kind"] in ("Deployment", "StatefulSet", "Job")
    ]


@pytest.mark.parametrize(("example", "manifest"), pods())
def test_pods_meet_the_restricted_standard(cluster: Cluster, example: str, manifest: dict[str, Any]) -> None:
    spec = manifest["spec"]["template"]["spec"] | {"serviceAccountName": "default"}
    spec.pop("priorityClassName", None)  # of a class that another test makes
    for claim in manifest["spec"].get("volumeClaimTemplates", []):
        spec["volumes"].append({"name": claim["metadata"]["name"], "emptyDir": {}})
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": spec}
    query = urllib.parse.urlencode({"dryRun": "All", "fieldValidation": "Strict"})
    cluster.post(f"/api/v1/namespaces/{example}/pods?{query}", pod)

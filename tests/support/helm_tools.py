"""Fetch what the chart is tested with into .state/helm-tools: `python -m tests.support.helm_tools` (`make helm-tools`).

Helm is built by Go, which takes minutes once. The schemas of Kubernetes are those of the package kubernetes-validate.
Those of KEDA and of the Prometheus operator are read where Go keeps their modules, and are not copied.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.helm import CHECKOUT, KUBERNETES, TOOLS

HELM = "helm.sh/helm/v3/cmd/helm@v3.22.0"
KEDA = "github.com/kedacore/keda/v2@v2.21.0"
PROMETHEUS_OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
_OPERATOR = "example/prometheus-operator-crd/monitoring.coreos.com"
DEFINITIONS = (
    (KEDA, "config/crd/bases/keda.sh_scaledobjects.yaml"),
    (KEDA, "config/crd/bases/keda.sh_triggerauthentications.yaml"),
    (PROMETHEUS_OPERATOR, f"{_OPERATOR}_servicemonitors.yaml"),
    (PROMETHEUS_OPERATOR, f"{_OPERATOR}_prometheusrules.yaml"),
)
# Helm's own releases are built with the version of Kubernetes that they assume where no cluster tells its own.
STAMPS = {
    f"helm.sh/helm/v3/pkg/{package}.k8sVersion{part}": number
    for package in ("chartutil", "lint/rules")
    for part, number in zip(("Major", "Minor"), KUBERNETES.split("."), strict=True)
}
VALIDATOR = TOOLS / "kubernetes-validate"


def module(name: str) -> Path:
    """Return the folder of a Go module, downloaded if it is missing."""
    described = subprocess.run(
        ["go", "mod", "download", "-json", name], cwd=TOOLS, capture_output=True, check=True, text=True
    )
    return Path(json.loads(described.stdout)["Dir"])


def definitions() -> list[Path]:
    """Return the files that define KEDA's and the Prometheus operator's objects. Empty if they are missing."""
    kept = TOOLS / "definitions.json"
    paths = [Path(path) for path in json.loads(kept.read_text())] if kept.exists() else []
    return paths if all(path.exists() for path in paths) else []


def main() -> int:
    if shutil.which("go") is None:
        sys.stderr.write("Helm is built by Go, which is not installed (https://go.dev/dl/)\n")
        return 1
    TOOLS.mkdir(parents=True, exist_ok=True)
    stamps = " ".join(f"-X {name}={number}" for name, number in STAMPS.items())
    subprocess.run(
        ["go", "install", "-ldflags", stamps, HELM], env={**os.environ, "GOBIN": str(TOOLS / "bin")}, check=True
    )
    found = [str(module(name) / path) for name, path in DEFINITIONS]
    (TOOLS / "definitions.json").write_text(json.dumps(found))
    locked = CHECKOUT / "requirements" / "helm.txt"
    uv = Path(sys.executable).with_name("uv")
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--require-hashes", "--target", VALIDATOR, "-r", locked], check=True
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What each example makes in a cluster, read from the reviewed files: no Helm is needed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import pytest

from cutstream.settings import load
from tests.support.helm import EXAMPLES, golden, manifests

Manifest = dict[str, Any]
WORKLOADS = ("Deployment", "StatefulSet", "Job")
MANIFESTS = {example: manifests(golden(example).read_text()) for example in EXAMPLES}


def of_kind(example: str, *kinds: str) -> list[Manifest]:
    return [manifest for manifest in MANIFESTS[example] if manifest["kind"] in kinds]


def component(manifest: Manifest) -> str:
    return manifest["metadata"]["labels"]["app.kubernetes.io/component"]


def workload(example: str, name: str) -> Manifest:
    (found,) = (each for each in of_kind(example, *WORKLOADS) if component(each) == name)
    return found


def pod(manifest: Manifest) -> Manifest:
    return manifest["spec"]["template"]["spec"]


def containers(manifest: Manifest) -> list[Manifest]:
    spec = pod(manifest)
    return [*spec.get("initContainers", []), *spec["containers"]]


def workloads(*kinds: str) -> list[Any]:
    return [
        pytest.param(manifest, id=f"{example}-{component(manifest)}")
        for example in EXAMPLES
        for manifest in of_kind(example, *(kinds or WORKLOADS))
    ]


def environment(example: str, manifest: Manifest) -> dict[str, str]:
    """Return the variables of the first container. Those whose values are not in the chart get some."""
    (settings,) = of_kind(example, "ConfigMap")
    own = {each["name"]: each.get("value", "2") for each in pod(manifest)["containers"][0].get("env", [])}
    return {**settings["data"], **own, "CUTSTREAM_GATEWAY__WEBHOOK_SECRET": f"whsec_{'A' * 32}"}


@pytest.mark.parametrize("manifest", workloads())
def test_pods_are_restricted(manifest: Manifest) -> None:
    spec = pod(manifest)
    security = spec["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] > 0
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for container in containers(manifest):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}


@pytest.mark.parametrize("manifest", workloads())
def test_services_become_no_settings(manifest: Manifest) -> None:
    # A Service `cutstream-worker` would be CUTSTREAM_WORKER_SERVICE_HOST, which the settings refuse as unknown.
    assert pod(manifest)["enableServiceLinks"] is False


@pytest.mark.parametrize("manifest", workloads())
def test_containers_have_requests_a_limit_of_memory_and_none_of_cores(manifest: Manifest) -> None:
    for container in containers(manifest):
        resources = container["resources"]
        assert {"cpu", "memory"} <= resources["requests"].keys()
        assert "memory" in resources["limits"]
        assert "cpu" not in resources["limits"]


@pytest.mark.parametrize("manifest", workloads("Deployment", "StatefulSet"))
def test_selectors_never_change(manifest: Manifest) -> None:
    selector = manifest["spec"]["selector"]["matchLabels"]
    labels = manifest["spec"]["template"]["metadata"]["labels"]
    assert selector.keys() == {f"app.kubernetes.io/{name}" for name in ("name", "instance", "component")}
    assert selector.items() <= labels.items()
    assert "helm.sh/chart" not in labels


@pytest.mark.parametrize("manifest", workloads())
def test_secrets_are_only_named(manifest: Manifest) -> None:
    for container in containers(manifest):
        for variable in container.get("env", []):
            if re.search("PASSWORD|SECRET|TOKEN|USERNAME|ACCESS_KEY", variable["name"]):
                assert variable.keys() == {"name", "valueFrom"}


@pytest.mark.parametrize("example", EXAMPLES)
def test_no_secret_is_made(example: str) -> None:
    assert not of_kind(example, "Secret")


@pytest.mark.parametrize(
    ("example", "name"),
    [
        (example, component(manifest))
        for example in EXAMPLES
        for manifest in of_kind(example, "Deployment", "StatefulSet")
        if component(manifest) != "triton"
    ],
)
def test_processes_understand_their_settings(example: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = workload(example, name)
    for variable in [each for each in os.environ if each.startswith("CUTSTREAM_")]:
        monkeypatch.delenv(variable)
    for variable, value in environment(example, manifest).items():
        # No token of the metrics is as short as the value that stands for it here.
        monkeypatch.setenv(variable, value if not variable.endswith("METRICS_TOKEN") else "0123456789abcdef")
    settings = load()
    assert settings.triton.url == "cutstream-triton:8001"
    assert settings.worker.cores == (2 if name == "worker" else 0)
    grace = pod(manifest)["terminationGracePeriodSeconds"]
    assert grace >= (settings.worker.drain_timeout_s + 10 if name == "worker" else 5 + 10)


@pytest.mark.parametrize("example", EXAMPLES)
def test_nothing_keeps_a_node_from_being_drained(example: str) -> None:
    budgets = of_kind(example, "PodDisruptionBudget")
    assert {component(each) for each in budgets} == {
        component(each) for each in of_kind(example, "Deployment", "StatefulSet")
    }
    for budget in budgets:
        assert budget["spec"]["maxUnavailable"] == 1
        assert "minAvailable" not in budget["spec"]


@pytest.mark.parametrize("manifest", workloads("Deployment", "StatefulSet"))
def test_pods_are_spread(manifest: Manifest) -> None:
    constraints = pod(manifest)["topologySpreadConstraints"]
    assert {each["topologyKey"] for each in constraints} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    assert all(each["whenUnsatisfiable"] == "ScheduleAnyway" for each in constraints)


@pytest.mark.parametrize("example", EXAMPLES)
def test_replicas_belong_to_the_autoscaler(example: str) -> None:
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in of_kind(example, "ScaledObject")}
    scaled |= {each["spec"]["scaleTargetRef"]["name"] for each in of_kind(example, "HorizontalPodAutoscaler")}
    for manifest in of_kind(example, "Deployment", "StatefulSet"):
        assert ("replicas" in manifest["spec"]) != (manifest["metadata"]["name"] in scaled)


def ports(rules: list[Manifest]) -> set[Any]:
    return {port["port"] for rule in rules for port in rule["ports"]}


@pytest.mark.parametrize("example", EXAMPLES)
def test_network_policies_let_out_what_is_needed(example: str) -> None:
    policies = {component(each): each["spec"] for each in of_kind(example, "NetworkPolicy")}
    assert policies.keys() == {component(each) for each in of_kind(example, *WORKLOADS)}
    settings = of_kind(example, "ConfigMap")[0]["data"]
    brokers = {int(each.rpartition(":")[2]) for each in settings["CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS"].split(",")}
    for name, policy in policies.items():
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        out = ports(policy["egress"])
        assert 53 in out
        assert (name == "triton") or brokers <= out
        assert (name != "worker") or {"grpc", 443} <= out
    if "CUTSTREAM_OBJECTS__S3_ENDPOINT" in settings:
        port = re.fullmatch(r"(https?)://[^:/]+(?::(\d+))?", settings["CUTSTREAM_OBJECTS__S3_ENDPOINT"])
        assert port
        assert int(port[2] or {"https": 443, "http": 80}[port[1]]) in ports(policies["worker"]["egress"])


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_internet_is_no_private_network(example: str) -> None:
    for policy in of_kind(example, "NetworkPolicy"):
        for rule in policy["spec"]["egress"]:
            for block in (each.get("ipBlock") for each in rule.get("to", [])):
                if block and block["cidr"] == "0.0.0.0/0":
                    assert {"10.0.0.0/8", "169.254.0.0/16"} <= set(block["except"])


@pytest.mark.parametrize("example", EXAMPLES)
def test_only_workers_call_triton(example: str) -> None:
    (policy,) = (each["spec"] for each in of_kind(example, "NetworkPolicy") if component(each) == "triton")
    (rule,) = (rule for rule in policy["ingress"] if rule["ports"] == [{"port": "grpc"}])
    (peer,) = rule["from"]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "worker"


@pytest.mark.parametrize(
    ("example", "devices"),
    [
        ("gpu-t4", {"nvidia.com/gpu": 1}),
        ("gpu-mig", {"nvidia.com/mig-1g.10gb": 1}),
        ("gpu-time-slicing", {"nvidia.com/gpu.shared": 1}),
        ("cpu-shop", {}),
    ],
)
def test_triton_gets_its_device(example: str, devices: Mapping[str, int]) -> None:
    (container,) = pod(workload(example, "triton"))["containers"]
    for amounts in (container["resources"]["requests"], container["resources"]["limits"]):
        assert {name: amount for name, amount in amounts.items() if name.startswith("nvidia.com/")} == devices


def test_mutual_tls_reaches_workers_and_keda() -> None:
    (container,) = pod(workload("strimzi", "worker"))["containers"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    settings = of_kind("strimzi", "ConfigMap")[0]["data"]
    assert settings["CUTSTREAM_KAFKA__SSL_CAFILE"] == f"{mounted['kafka-ca']}/ca.crt"
    assert settings["CUTSTREAM_KAFKA__SSL_CERTFILE"] == f"{mounted['kafka-client']}/client.crt"
    assert settings["CUTSTREAM_KAFKA__SSL_KEYFILE"] == f"{mounted['kafka-client']}/client.key"
    (authentication,) = of_kind("strimzi", "TriggerAuthentication")
    given = {each["parameter"]: (each["name"], each["key"]) for each in authentication["spec"]["secretTargetRef"]}
    assert given == {
        "ca": ("shop-cluster-ca-cert", "ca.crt"),
        "cert": ("cutstream", "user.crt"),
        "key": ("cutstream", "user.key"),
    }


@pytest.mark.parametrize(("example", "sasl"), [("msk", "scram_sha512"), ("confluent", "plaintext")])
def test_keda_logs_in_as_workers_do(example: str, sasl: str) -> None:
    for scaled in of_kind(example, "ScaledObject"):
        for trigger in scaled["spec"]["triggers"]:
            if trigger["type"] == "kafka":
                assert (trigger["metadata"]["sasl"], trigger["metadata"]["tls"]) == (sasl, "enable")
                assert trigger["authenticationRef"] == {"name": "cutstream-kafka"}


def test_gateways_keep_their_jobs() -> None:
    manifest = workload("cpu-shop", "gateway")
    assert manifest["kind"] == "StatefulSet"
    (claim,) = manifest["spec"]["volumeClaimTemplates"]
    (mount,) = (
        each for each in pod(manifest)["containers"][0]["volumeMounts"] if each["name"] == claim["metadata"]["name"]
    )
    state = environment("cpu-shop", manifest)["CUTSTREAM_GATEWAY__STATE"]
    # Below the volume, whose own folder belongs to root.
    assert state.startswith(f"{mount['mountPath']}/")
    assert pod(manifest)["securityContext"]["fsGroup"] == 0
    assert pod(manifest)["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"


def test_prometheus_asks_by_the_names_of_the_rules() -> None:
    jobs = {
        component(each): each["spec"]["endpoints"][0]["relabelings"][0]["replacement"]
        for each in of_kind("msk", "ServiceMonitor")
    }
    assert jobs == {"worker": "cutstream", "gateway": "gateway", "triton": "triton"}
    for monitor in of_kind("msk", "ServiceMonitor"):
        has_token = "authorization" in monitor["spec"]["endpoints"][0]
        assert has_token == (component(monitor) != "triton")

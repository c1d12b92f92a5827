"""The compose file is one by its specification, and agrees with the product: settings, ports, topics, dashboards."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cutstream.settings import load
from deploy.images.build import TARGETS
from deploy.images.digests import COMPOSE
from deploy.monitoring.files import FOLDER

# The module of compose's own parser that holds the specification's schema, with its hash.
SCHEMA_MODULE = "github.com/compose-spec/compose-go/v2@v2.16.2"
SCHEMA_HASH = "h1:pTp1DqQwJzFd85GzlWsSszKA1ABrV/ySqsClujIcWA8="
PROFILES = ("cpu", "gpu")
OURS = ("worker", "worker-gpu", "gateway", "triton", "triton-gpu", "models", "models-gpu", "topics", "keys")

DOCUMENT: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
SERVICES: dict[str, Any] = DOCUMENT["services"]


def services_of(profile: str) -> set[str]:
    return {name for name, service in SERVICES.items() if profile in service.get("profiles", [profile])}


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if shutil.which("go") is None:
        pytest.skip("needs Go, which brings the schema of the compose specification")
    command = ["go", "mod", "download", "-json", SCHEMA_MODULE]
    done = subprocess.run(command, cwd=tmp_path_factory.mktemp("go"), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"needs {SCHEMA_MODULE}, which Go could not fetch: {done.stderr or done.stdout}")
    module = json.loads(done.stdout)
    assert module["Sum"] == SCHEMA_HASH
    found: dict[str, Any] = json.loads((Path(module["Dir"]) / "schema" / "compose-spec.json").read_text())
    return found


def test_it_is_a_compose_file(schema: dict[str, Any]) -> None:
    jsonschema.validate(DOCUMENT, schema, cls=jsonschema.Draft202012Validator)


def test_the_schema_would_notice(schema: dict[str, Any]) -> None:
    wrong = {"services": {"kafka": {"image": "a", "healthchek": {}}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_has_all_that_it_waits_for(profile: str) -> None:
    present = services_of(profile)
    assert {"kafka", "topics", "keys", "gateway", "prometheus", "grafana"} < present
    for name in present:
        for other, how in SERVICES[name].get("depends_on", {}).items():
            assert other in present, f"{name} waits for {other}"
            once = SERVICES[other].get("restart") == "no"
            assert how["condition"] == ("service_completed_successfully" if once else "service_healthy")


@pytest.mark.parametrize("profile", PROFILES)
def test_the_names_that_services_are_asked_by_exist(profile: str) -> None:
    present = services_of(profile)
    names = present | {
        alias
        for name in present
        for network in (SERVICES[name].get("networks") or {}).values()
        for alias in network["aliases"]
    }
    settings = DOCUMENT["x-settings"]
    hosts = {settings["CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS"], settings["CUTSTREAM_TRITON__URL"]}
    jobs = yaml.safe_load((COMPOSE.parent / "prometheus.yml").read_text())["scrape_configs"]
    for job in jobs:
        hosts |= {target for static in job.get("static_configs", []) for target in static["targets"]}
        hosts |= {f"{name}:{dns['port']}" for dns in job.get("dns_sd_configs", []) for name in dns["names"]}
    assert {host.partition(":")[0] for host in hosts} <= names
    assert hosts == {"kafka:9092", "triton:8001", "triton:8002", "worker:9100", "gateway:8080"}


def defaults_in(text: str) -> str:
    """Return a value with the default of each of its variables."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


@pytest.mark.parametrize("name", OURS)
def test_the_settings_of_a_service_are_taken(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    variables = SERVICES[name].get("environment", {})
    for variable, value in variables.items():
        monkeypatch.setenv(variable, defaults_in(value))
    settings = load()  # an unknown name or a wrong value is an error
    if "CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS" in variables:
        assert settings.kafka.bootstrap_servers == "kafka:9092"
    if name == "gateway":
        assert Path(settings.gateway.uploads).is_relative_to(settings.objects.file_roots[0])


def test_the_jobs_of_prometheus_are_those_that_rules_and_dashboards_ask_for() -> None:
    jobs = [
        {job["job_name"] for job in yaml.safe_load((FOLDER / path).read_text())["scrape_configs"]}
        for path in ("prometheus/prometheus.yml", "compose/prometheus.yml")
    ]
    assert jobs[0] == jobs[1]


def test_all_files_that_are_mounted_exist() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (COMPOSE.parent / source).exists(), f"{name}: {source}"
            else:
                assert source in DOCUMENT["volumes"], f"{name}: {source}"


def test_the_broker_is_of_the_release_that_the_tests_run_on() -> None:
    jars = (FOLDER / "local" / "kafka-jars.lock").read_text()
    release = re.search(r"org\.apache\.kafka:kafka-clients:(\S+)", jars)
    assert release is not None
    assert SERVICES["kafka"]["image"] == f"${{KAFKA_IMAGE:-docker.io/apache/kafka:{release[1]}}}"


def test_every_service_is_hardened_and_bounded() -> None:
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        if service.get("restart") != "no":
            assert service["deploy"]["resources"]["limits"].keys() == {"memory", "pids"}, name
        if name in OURS:
            assert service["read_only"] is True, name
            assert any(entry.startswith("/tmp") for entry in service["tmpfs"]), name


def test_nothing_listens_beyond_loopback_and_nothing_is_secret() -> None:
    for name, service in SERVICES.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        for variable in service.get("environment", {}):
            assert not re.search("PASSWORD|SECRET|TOKEN|_KEY$", variable), f"{name}: {variable}"


def test_the_example_shows_each_variable_with_its_default() -> None:
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", COMPOSE.read_text()))
    example = dict(re.findall(r"^#(\w+)=(.*)$", (COMPOSE.parent / ".env.example").read_text(), re.MULTILINE))
    assert example == defaults


def test_our_images_have_the_version() -> None:
    from cutstream import __version__

    images = re.findall(r":-(cutstream-[\w-]+:\S+?)\}", COMPOSE.read_text())
    assert set(images) == {f"cutstream-{target}:{__version__}" for target in TARGETS}

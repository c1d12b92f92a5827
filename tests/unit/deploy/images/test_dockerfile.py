"""The Dockerfile keeps the rules of the house, and the images hold what the product says of itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from cutstream.settings import Settings
from deploy.images import health
from deploy.images.build import TARGETS, build_command, unpinned
from deploy.images.digests import DOCKERFILE, build_images

CHECKOUT = Path(__file__).parents[4]
LABELS = {"title", "description", "version", "revision", "created"}


class Instruction(NamedTuple):
    name: str
    text: str


def stages() -> dict[str, list[Instruction]]:
    """Return the instructions of each stage by its name, those of a stage that it is built from included."""
    text = re.sub(r"\\\n\s*", " ", DOCKERFILE.read_text())
    found: dict[str, list[Instruction]] = {}
    current: list[Instruction] = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        name, _, rest = line.partition(" ")
        if name == "FROM":
            base, _, stage = rest.partition(" AS ")
            current = found[stage] = list(found.get(base, []))
        current.append(Instruction(name, rest))
    return found


STAGES = stages()


def last(target: str, name: str) -> str:
    return next(text for instruction, text in reversed(STAGES[target]) if instruction == name)


def environment(target: str) -> dict[str, str]:
    texts = " ".join(text for name, text in STAGES[target] if name == "ENV")
    return dict(re.findall(r'(\w+)="?([^"\s]*)"?', texts))


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_an_ordinary_user_and_says_how_it_is(target: str) -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last(target, "USER"))
    check = last(target, "HEALTHCHECK").partition("CMD ")[2]
    assert json.loads(check)[-1] in target  # worker-gpu and triton-cpu are a worker and a Triton
    assert last(target, "STOPSIGNAL") == "SIGTERM"


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_names_itself(target: str) -> None:
    labels = {
        key: value
        for name, text in STAGES[target]
        if name == "LABEL"
        for key, value in re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]+)"', text)
    }
    assert labels.keys() >= LABELS
    assert labels["title"] == f"cutstream-{target}"


@pytest.mark.parametrize("target", TARGETS)
def test_the_command_is_a_list_so_that_signals_reach_the_service(target: str) -> None:
    assert json.loads(last(target, "ENTRYPOINT"))


def test_nothing_comes_from_an_address_or_unlocked() -> None:
    instructions = {each for stage in STAGES.values() for each in stage}
    assert not [each for each in instructions if each.name == "ADD" or ("://" in each.text and each.name != "ARG")]
    runs = {text for name, text in instructions if name == "RUN"}
    assert not [run for run in runs if re.search(r"\b(apt|apt-get|curl|wget|pip)\b", run)]
    script = (DOCKERFILE.parent / "install.sh").read_text()
    installs = [line for line in script.splitlines() if re.search(r"\bpip install\b", line)]
    assert installs
    assert all("--require-hashes" in line or "dist/*.whl" in line for line in installs)


def test_whatever_is_below_comes_by_an_argument_with_a_full_name_and_tag() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(), re.MULTILINE)
    outside = {base for base in bases if base not in STAGES and base != "scratch"}
    assert outside == {f"${{{argument}}}" for argument in build_images()}
    assert all(re.fullmatch(r"[\w.-]+\.\w+/[\w./-]+:[\w.-]*\d[\w.-]*", image) for image in build_images().values())


def test_ports_and_health_are_those_of_the_settings() -> None:
    settings = Settings()
    ports = {"worker": settings.worker.port, "gateway": settings.gateway.port, "triton": 8000}
    assert ports == health._PORTS
    assert last("worker", "EXPOSE") == str(settings.worker.port)
    assert last("gateway", "EXPOSE") == str(settings.gateway.port)


@pytest.mark.parametrize("target", ["worker", "gateway", "worker-gpu", "triton-cpu"])
def test_each_variable_of_the_product_is_a_setting(target: str) -> None:
    for variable in environment(target):
        if variable.startswith("CUTSTREAM_"):
            section, name = variable.removeprefix("CUTSTREAM_").lower().split("__")
            assert name in type(getattr(Settings(), section)).model_fields, variable


def test_compiled_code_is_taken_from_the_image() -> None:
    for target in ("worker", "worker-gpu"):
        found, built = environment(target), environment("product")
        assert found["NUMBA_CACHE_LOCATOR_CLASSES"] == "cutstream.arrays.compiled.machine_code.ReadOnlyCache"
        for name in ("NUMBA_CACHE_DIR", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"):  # else it would be compiled anew
            assert found[name] == built[name]


def test_all_packages_of_the_wheel_reach_the_builder() -> None:
    packages = re.search(r"^packages = (\[.+\])", (CHECKOUT / "pyproject.toml").read_text(), re.MULTILINE)
    assert packages is not None
    copied = {text.split()[0] for name, text in STAGES["product"] if name == "COPY"}
    ignored = (CHECKOUT / ".dockerignore").read_text().splitlines()
    for package in json.loads(packages[1]):
        assert package in copied
        assert f"!{package}" in ignored


def test_an_image_is_built_by_digest() -> None:
    command = build_command("worker", "docker", "1", {"BUILD_IMAGE": "a.b/c:1@sha256:0"}, {"VERSION": "1"})
    assert command[:2] == ["docker", "build"]
    assert "BUILD_IMAGE=a.b/c:1@sha256:0" in command
    assert "cutstream-worker:1" in command


def test_only_what_a_target_stands_on_must_be_pinned() -> None:
    images = build_images()
    assert unpinned("triton-gpu", {}) == [images["TRITON_IMAGE"]]
    assert images["TRITON_IMAGE"] not in unpinned("worker", {})
    assert unpinned("worker", dict.fromkeys(images.values(), "sha256:" + "0" * 64)) == []

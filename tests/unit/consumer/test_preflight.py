"""What `worker --check` and a worker's start refuse because it cannot work on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from consumer.preflight import check_settings
from cutstream.errors import ConfigurationError
from cutstream.profiles import known_profiles
from cutstream.settings import KafkaSettings, ModelSettings, ObjectSettings, Settings, TritonSettings, WorkerSettings
from tests.support.certificates import Authority
from tests.support.ports import has_ipv6


def problems(**sections: object) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        check_settings(Settings(**sections))  # type: ignore[arg-type]
    return str(refused.value).splitlines()


def test_the_defaults_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_settings(Settings())
    assert list(tmp_path.iterdir()) == []  # a check leaves nothing behind


def test_roots_that_are_no_folders_are_named_each(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    roots = (tmp_path, tmp_path / "file", tmp_path / "missing", tmp_path / "file" / "below")
    found = problems(objects=ObjectSettings(file_roots=roots))
    assert [line.partition(": ")[2].partition(": ")[0] for line in found] == [
        f"{tmp_path}/file is not a folder",
        f"{tmp_path}/missing does not exist",
        f"{tmp_path}/file/below does not exist",
    ]
    assert all(line.startswith("CUTSTREAM_OBJECTS__FILE_ROOTS: ") for line in found)
    assert all(line.endswith("(docs/settings.md#objects-file-roots)") for line in found)


@pytest.mark.parametrize(
    ("destination", "problem"),
    [
        ("ftp://host/out", "must be a folder or a file://, s3://, gs:// or az:// address"),
        ("s3:///out", "names no bucket"),
        ("file://host/out", "the address of a file must have the form file:///absolute/path"),
        ("s3://ours/out", "without credentials: set CUTSTREAM_OBJECTS__S3_ACCESS_KEY_ID"),
        ("gs://ours/out", "without credentials: set CUTSTREAM_OBJECTS__MACHINE_CREDENTIALS=true"),
        ("az://ours/out", "AZURE_STORAGE_ACCOUNT_NAME"),
        ("{}/file/out", "is not a folder: allow it, or name another one"),
    ],
)
def test_a_destination_that_cannot_be_written_is_refused(tmp_path: Path, destination: str, problem: str) -> None:
    (tmp_path / "file").touch()
    (found,) = problems(objects=ObjectSettings(destination=destination.format(tmp_path)))
    assert found.startswith("CUTSTREAM_OBJECTS__DESTINATION")
    assert problem in found


def test_a_destination_need_not_exist_yet(tmp_path: Path) -> None:
    check_settings(Settings(objects=ObjectSettings(destination=str(tmp_path / "a" / "b"))))
    assert not (tmp_path / "a").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write to every folder")
def test_folders_that_this_user_may_not_use_are_refused(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o000)
    (tmp_path / "read-only").mkdir(mode=0o500)
    objects = ObjectSettings(file_roots=(tmp_path / "closed",), destination=str(tmp_path / "read-only" / "out"))
    roots, destination = problems(objects=objects)
    assert "closed may not be read by this user" in roots
    assert "this user may not write to" in destination


def models(**changes: object) -> ModelSettings:
    return ModelSettings(**{"default_profile": "fast", "profiles": ("fast",)} | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"profiles": ("fast", "generall")},
            "CUTSTREAM_MODELS__PROFILES: there is no profile generall; did you mean `general`?",
        ),
        ({"profiles": ("fast", "auto")}, "CUTSTREAM_MODELS__PROFILES: auto is a choice between profiles"),
        ({"auto": ("precisely", "fast")}, "CUTSTREAM_MODELS__AUTO: there is no profile precisely; did you mean"),
        ({"profiles": ("fast", "xyzzy")}, f"there is no profile xyzzy; choose from {', '.join(known_profiles())}"),
    ],
)
def test_profiles_that_nobody_knows_are_refused_with_the_nearest(changes: dict[str, object], problem: str) -> None:
    (found,) = problems(models=models(**changes))
    assert problem in found


def test_a_folder_of_presets_that_is_missing_is_refused(tmp_path: Path) -> None:
    (found,) = problems(models=models(presets=tmp_path / "none"))
    assert found.startswith(f"CUTSTREAM_MODELS__PRESETS={tmp_path}/none cannot be read")


@pytest.mark.parametrize("write", [lambda path: None, lambda path: path.write_text("no certificate")])
def test_a_file_without_certificates_is_refused(tmp_path: Path, write: Callable[[Path], object]) -> None:
    write(tmp_path / "ca.pem")
    (found,) = problems(kafka=KafkaSettings(security_protocol="SSL", ssl_cafile=tmp_path / "ca.pem"))
    assert found.startswith(f"CUTSTREAM_KAFKA__SSL_CAFILE: {tmp_path}/ca.pem holds no certificates (")


@pytest.mark.parametrize("password", [None, "wrong"])
def test_a_key_that_nobody_can_read_is_refused_without_a_question(tmp_path: Path, password: str | None) -> None:
    own = Authority(tmp_path).issue("worker", password="right")
    tls = {"security_protocol": "SSL", "ssl_certfile": own.chain, "ssl_keyfile": own.key}
    (found,) = problems(kafka=KafkaSettings(**tls, ssl_key_password=password))
    assert found.startswith(f"CUTSTREAM_KAFKA__SSL_CERTFILE: {own.chain} holds no certificate and key that go")
    check_settings(Settings(kafka=KafkaSettings(**tls, ssl_key_password="right")))


def test_files_for_triton_are_checked_too(tmp_path: Path) -> None:
    own, other = (Authority(tmp_path, name).issue(f"{name}-worker") for name in ("own", "other"))
    tls = {"url": "triton:8001", "tls": True, "ssl_certfile": own.chain}
    (found,) = problems(triton=TritonSettings(**tls, ssl_keyfile=other.key))
    assert found.startswith(
        f"CUTSTREAM_TRITON__SSL_CERTFILE: {own.chain} holds no certificate and key that go together"
    )
    (found,) = problems(triton=TritonSettings(url="triton:8001", tls=True, ssl_cafile=tmp_path / "missing"))
    assert found.startswith(f"CUTSTREAM_TRITON__SSL_CAFILE: {tmp_path}/missing holds no certificates (")
    check_settings(Settings(triton=TritonSettings(**tls, ssl_keyfile=own.key)))


def test_a_wrong_endpoint_is_refused() -> None:
    (found,) = problems(objects=ObjectSettings(s3_endpoint="localhost:9000"))
    assert found.startswith("CUTSTREAM_OBJECTS__S3_ENDPOINT=localhost:9000 must have the form")


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    (found,) = problems(worker=WorkerSettings(device="cuda"))
    assert found.startswith("CUTSTREAM_WORKER__DEVICE=cuda: CuPy is not installed")
    check_settings(Settings(worker=WorkerSettings(device="auto")))


def test_traces_without_their_packages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    (found,) = problems(worker=WorkerSettings(traces_url="http://127.0.0.1:4318/v1/traces"))
    assert found.startswith("CUTSTREAM_WORKER__TRACES_URL: this needs the packages of the extra `traces`: pip install")


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_a_host_that_is_not_this_machine_is_refused(host: str) -> None:
    (found,) = problems(worker=WorkerSettings(host=host))
    assert found.startswith(f"CUTSTREAM_WORKER__HOST: {host} is no address of this machine")


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["::1", "::"])
def test_an_address_of_ipv6_is_accepted(host: str) -> None:
    check_settings(Settings(worker=WorkerSettings(host=host)))


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost", "worker-1.example.org"])
def test_a_name_is_not_looked_up(host: str) -> None:
    check_settings(Settings(worker=WorkerSettings(host=host)))


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    objects = ObjectSettings(file_roots=(tmp_path / "none",), destination="ftp://host")
    assert len(problems(objects=objects, models=models(profiles=("fast", "fats")))) == 3

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from commands.app import app
from cutstream.clock import SystemClock
from producer.gateway.keys import Keys


def run(*arguments: str, **environment: str):
    return CliRunner().invoke(app, list(arguments), env=environment)


def test_a_key_is_printed_once_and_found_by_its_hash(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    made = run("keys", "create", "shop", "--file", str(file))
    assert made.exit_code == 0
    key = made.stdout.strip()
    found = Keys(file, SystemClock()).find(key)
    assert found is not None
    assert found.name == "shop"
    again = run("keys", "create", "shop", CUTSTREAM_GATEWAY__KEYS=str(file))
    assert again.exit_code == 2
    assert "choose another name" in " ".join(again.stderr.split())
    assert run("keys", "create", "print").exit_code == 2, "no file is named"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "workers may not read what clients upload"),
        ({"CUTSTREAM_GATEWAY__HOST": "0.0.0.0"}, "create keys with"),
        ({"CUTSTREAM_GATEWAY__KEYS": "/nowhere/keys.toml"}, "cannot be read: No such file"),
        ({"CUTSTREAM_GATEWAY__WEBHOOK_SECRET": "whsec_short"}, "24 to 64 bytes in base64"),
        ({"CUTSTREAM_GATEWAY__SSL_CERTFILE": "/nowhere/cert.pem"}, "holds no certificate"),
        ({"CUTSTREAM_GATEWAY__PREFIX": "cutouts/"}, "must begin with /"),
        ({"CUTSTREAM_GATEWAY__TRUSTED_PROXIES": "proxy"}, "neither an address nor a network"),
        ({"CUTSTREAM_GATEWAY__ALLOWED_ORIGINS": "*"}, "is no origin"),
        ({"CUTSTREAM_GATEWAY__MODELS": "u2net"}, "model=profile"),
        ({"CUTSTREAM_GATEWAY__UPLOADS": "ftp://a/b"}, "must be a folder or an s3://"),
    ],
)
def test_settings_that_cannot_work_are_named_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    checked = run("serve", "--check", **settings)
    assert checked.exit_code == 78
    assert problem in " ".join(checked.stderr.split())


def test_settings_that_work_are_printed_without_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUTSTREAM_OBJECTS__FILE_ROOTS", str(tmp_path))
    monkeypatch.setenv("CUTSTREAM_GATEWAY__WEBHOOK_SECRET", "whsec_" + "A" * 40)
    checked = run("serve", "--check")
    assert checked.exit_code == 0, checked.stderr
    assert '"port": 8080' in checked.stdout
    assert "AAAA" not in checked.stdout

from __future__ import annotations

from cutstream.settings import Settings, as_environment, load


def test_another_process_gets_the_same_settings(monkeypatch) -> None:
    settings = Settings(
        kafka={
            "bootstrap_servers": "a:1,b:2",
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "PLAIN",
            "sasl_username": "me",
            "sasl_password": "secret",
        },
        triton={"timeout_s": 3},
        objects={"file_roots": ("/x", "/y"), "allow_private_addresses": True},
        worker={"window": 5},
    )
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert load() == settings


def test_defaults_are_left_out() -> None:
    assert as_environment(Settings()) == {}

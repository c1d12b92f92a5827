from __future__ import annotations

from cutstream.settings import Settings, as_environment, load


def test_another_process_gets_the_same_settings(monkeypatch) -> None:
    settings = Settings(
        kafka={"bootstrap_servers": "a:1,b:2", "sasl_password": "secret", "session_timeout_s": 7.5},
        objects={"roots": ("/x", "/y"), "allow_private_addresses": True},
        worker={"window": 5},
    )
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert load() == settings


def test_defaults_are_left_out() -> None:
    assert as_environment(Settings()) == {}

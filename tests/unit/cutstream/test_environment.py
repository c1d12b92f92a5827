from __future__ import annotations

import pytest

from cutstream.errors import ConfigurationError
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


def test_another_process_gets_folders_with_commas_and_spaces_and_empty_lists(monkeypatch) -> None:
    settings = Settings(objects={"file_roots": ("/a,b", "/a ", "[c]")}, models={"auto": ()})
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert load() == settings
    monkeypatch.setenv("CUTSTREAM_OBJECTS__FILE_ROOTS", "[a, b")
    assert [str(root) for root in load().objects.file_roots] == ["[a", "b"]


def test_the_file_of_settings_is_found_in_whatever_case_its_variable_is(monkeypatch, tmp_path) -> None:
    (tmp_path / "c.toml").write_text("[worker]\nwindow = 7\n")
    monkeypatch.setenv("cutstream_config", str(tmp_path / "c.toml"))
    assert load().worker.window == 7


@pytest.mark.parametrize("brokers", ["a", "a:b", "a:0", "a:99999", "a:1,b", ":1", ","])
def test_a_broker_that_is_not_host_and_port_is_refused(monkeypatch, brokers: str) -> None:
    monkeypatch.setenv("CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS", brokers)
    with pytest.raises(ConfigurationError, match=r"CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS=.* must be `host:port`"):
        load()


def test_defaults_are_left_out() -> None:
    assert as_environment(Settings()) == {}


def test_what_a_command_has_set_back_to_its_default_is_not_inherited(monkeypatch) -> None:
    monkeypatch.setenv("CUTSTREAM_STACK__PORT_OFFSET", "500")
    monkeypatch.setenv("CUTSTREAM_PAGE__PORT", "9700")
    moved = load().with_moved_ports()
    page = moved.page.model_copy(update={"port": None})
    for name, value in as_environment(moved.model_copy(update={"page": page})).items():
        monkeypatch.setenv(name, value)
    again = load()
    assert (again.worker.port, again.stack.port_offset, again.page.port) == (9600, 0, None)

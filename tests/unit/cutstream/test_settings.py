from __future__ import annotations

import json
from pathlib import Path

import pytest

from cutstream.clients.objects.store import ObjectStore
from cutstream.errors import ConfigurationError
from cutstream.settings import CONFIG_FILE, RENAMED, Settings, addressed, fields, load, redacted, variable, variables


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (CONFIG_FILE, *variables()):
        monkeypatch.delenv(name, raising=False)


def problems(**sections: dict[str, object]) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        load(**sections)
    return str(refused.value).splitlines()


def test_defaults_are_valid() -> None:
    assert load() == Settings.model_construct()


def test_overrides_win_over_environment_over_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text('[worker]\nwindow = 1\ndrain_timeout_s = 1\nport = 1\n[models]\nprofiles = ["general", "fast"]\n')
    monkeypatch.setenv(CONFIG_FILE, str(file))
    monkeypatch.setenv("CUTSTREAM_WORKER__WINDOW", "2")
    monkeypatch.setenv("CUTSTREAM_WORKER__DRAIN_TIMEOUT_S", "2")
    settings = load(worker={"window": 3})
    assert (settings.worker.window, settings.worker.drain_timeout_s, settings.worker.port) == (3, 2.0, 1)
    assert settings.models.profiles == ("general", "fast")


def test_lists_are_comma_separated_and_empty_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUTSTREAM_OBJECTS__FILE_ROOTS", "/photos, /out,")
    monkeypatch.setenv("CUTSTREAM_STACK__JAVA", "")
    settings = load()
    assert settings.objects.file_roots == (Path("/photos"), Path("/out"))
    assert settings.stack.java is None


def test_wrong_value_names_variable_value_form_and_anchor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUTSTREAM_WORKER__WINDOW", "0")
    monkeypatch.setenv("CUTSTREAM_KAFKA__DELIVERY", "twice")
    assert problems() == [
        "CUTSTREAM_KAFKA__DELIVERY=twice: expected one of `exactly_once`, `at_least_once` "
        "(docs/settings.md#kafka-delivery)",
        "CUTSTREAM_WORKER__WINDOW=0: expected a whole number from 1 to 1,024 (docs/settings.md#worker-window)",
    ]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("CUTSTREAM_WORKER__WINDWO", "; did you mean `CUTSTREAM_WORKER__WINDOW`?"),
        ("CUTSTREAM_WORKR__WINDOW", "; did you mean `CUTSTREAM_WORKER__WINDOW`?"),
        ("CUTSTREAM_SOMETHING_ENTIRELY_DIFFERENT", ""),
        ("CUTSTREAM_KAFKA", "; did you mean `CUTSTREAM_KAFKA__GROUP`?"),
    ],
)
def test_unknown_variable_is_an_error(monkeypatch: pytest.MonkeyPatch, name: str, hint: str) -> None:
    monkeypatch.setenv(name, "hunter2")
    assert problems() == [f"{name}: no such setting{hint} (docs/settings.md)"]


def test_unknown_entry_of_the_file_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text("[worker]\nwindwo = 1\n")
    monkeypatch.setenv(CONFIG_FILE, str(file))
    assert problems() == [
        "CUTSTREAM_WORKER__WINDWO: no such setting; did you mean `CUTSTREAM_WORKER__WINDOW`? (docs/settings.md)"
    ]


FORMER_NAMES = [
    ("models", "nets", "CUTSTREAM_MODELS__NETWORK_OVERRIDES", "models-network-overrides"),
    ("objects", "roots", "CUTSTREAM_OBJECTS__FILE_ROOTS", "objects-file-roots"),
    ("worker", "poison_run", "CUTSTREAM_WORKER__MAX_CONSECUTIVE_FAILURES", "worker-max-consecutive-failures"),
    ("worker", "drain_s", "CUTSTREAM_WORKER__DRAIN_TIMEOUT_S", "worker-drain-timeout-s"),
]


def test_every_former_name_is_tested_and_leads_to_a_setting() -> None:
    assert {(section, old) for section, old, _, _ in FORMER_NAMES} == RENAMED.keys()
    assert {variable(section, new) for (section, _), new in RENAMED.items()} <= variables().keys()


@pytest.mark.parametrize(("section", "old", "new", "anchor"), FORMER_NAMES)
def test_former_variable_is_refused_with_its_new_name(
    monkeypatch: pytest.MonkeyPatch, section: str, old: str, new: str, anchor: str
) -> None:
    monkeypatch.setenv(variable(section, old), "1")
    assert problems() == [f"{variable(section, old)} is now called {new} (docs/settings.md#{anchor})"]


@pytest.mark.parametrize(("section", "old", "new", "anchor"), FORMER_NAMES)
def test_former_entry_of_the_file_is_refused_with_its_new_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, section: str, old: str, new: str, anchor: str
) -> None:
    file = tmp_path / "site.toml"
    file.write_text(f"[{section}]\n{old} = 1\n")
    monkeypatch.setenv(CONFIG_FILE, str(file))
    assert problems() == [f"{variable(section, old)} is now called {new} (docs/settings.md#{anchor})"]


FORMER_PRECISION = [
    "CUTSTREAM_MODELS__PRECISION=f32: this value is now called fp32 (docs/settings.md#models-precision)"
]


def test_former_value_of_a_variable_is_refused_with_the_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUTSTREAM_MODELS__PRECISION", "f32")
    assert problems() == FORMER_PRECISION


def test_former_value_in_the_file_is_refused_with_the_new_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text('[models]\nprecision = "f32"\n')
    monkeypatch.setenv(CONFIG_FILE, str(file))
    assert problems() == FORMER_PRECISION


def test_missing_or_broken_file_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    monkeypatch.setenv(CONFIG_FILE, str(file))
    assert problems() == [f"CUTSTREAM_CONFIG={file}: no such file (docs/settings.md)"]
    file.write_text("[[")
    assert problems()[0].startswith(f"CUTSTREAM_CONFIG={file}: not readable as TOML: ")


CONTRADICTIONS: list[tuple[dict[str, dict[str, object]], tuple[str, ...]]] = [
    (
        {"kafka": {"session_timeout_s": 60, "max_poll_interval_s": 60}},
        ("CUTSTREAM_KAFKA__SESSION_TIMEOUT_S=60", "CUTSTREAM_KAFKA__MAX_POLL_INTERVAL_S=60"),
    ),
    (
        {"kafka": {"results_topic": "cutout.requests"}},
        ("CUTSTREAM_KAFKA__REQUESTS_TOPIC", "CUTSTREAM_KAFKA__RESULTS_TOPIC"),
    ),
    (
        {"kafka": {"security_protocol": "SASL_SSL", "sasl_username": "u"}},
        ("CUTSTREAM_KAFKA__SECURITY_PROTOCOL=SASL_SSL needs", "CUTSTREAM_KAFKA__SASL_PASSWORD"),
    ),
    (
        {"kafka": {"sasl_password": "hunter2"}},
        ("CUTSTREAM_KAFKA__SECURITY_PROTOCOL=PLAINTEXT does not go with", "CUTSTREAM_KAFKA__SASL_PASSWORD"),
    ),
    (
        {"kafka": {"ssl_cafile": "/ca.pem"}},
        ("CUTSTREAM_KAFKA__SSL_CAFILE does not go", "CUTSTREAM_KAFKA__SECURITY_PROTOCOL=PLAINTEXT"),
    ),
    (
        {"kafka": {"security_protocol": "SSL", "ssl_keyfile": "/key.pem"}},
        ("CUTSTREAM_KAFKA__SSL_KEYFILE needs", "CUTSTREAM_KAFKA__SSL_CERTFILE"),
    ),
    (
        {"triton": {"url": "triton:8001", "tls": True, "token": "hunter2 é"}},
        ("CUTSTREAM_TRITON__TOKEN must have", "ASCII"),
    ),
    (
        {"triton": {"url": "triton:8001", "token": "hunter2"}},
        ("CUTSTREAM_TRITON__TOKEN needs", "CUTSTREAM_TRITON__TLS"),
    ),
    (
        {"models": {"default_profile": "hair"}},
        ("CUTSTREAM_MODELS__DEFAULT_PROFILE=hair", "CUTSTREAM_MODELS__PROFILES=fast"),
    ),
    (
        {"models": {"default_profile": "auto", "auto": ["precise"]}},
        ("CUTSTREAM_MODELS__AUTO=precise", "CUTSTREAM_MODELS__PROFILES=fast"),
    ),
    (
        {"objects": {"s3_secret_access_key": "hunter2"}},
        ("CUTSTREAM_OBJECTS__S3_ACCESS_KEY_ID", "CUTSTREAM_OBJECTS__S3_SECRET_ACCESS_KEY"),
    ),
    (
        {"worker": {"commit_max_results": 20, "max_uncommitted": 10}},
        ("CUTSTREAM_WORKER__COMMIT_MAX_RESULTS=20", "CUTSTREAM_WORKER__MAX_UNCOMMITTED=10"),
    ),
    (
        {"worker": {"memory_bytes": 799_999_999}},
        ("CUTSTREAM_WORKER__MEMORY_BYTES=799999999", "CUTSTREAM_LIMITS__MAX_SOURCE_PIXELS=50000000"),
    ),
    (
        {"worker": {"heartbeat_s": 120}},
        ("CUTSTREAM_WORKER__HEARTBEAT_S=120", "CUTSTREAM_KAFKA__MAX_POLL_INTERVAL_S=120"),
    ),
    ({"stack": {"kafka_port": 9100}}, ("CUTSTREAM_WORKER__PORT=9100", "CUTSTREAM_STACK__KAFKA_PORT=9100: choose")),
]


@pytest.mark.parametrize(("sections", "named"), CONTRADICTIONS)
def test_contradiction_names_both_variables(sections: dict[str, dict[str, object]], named: tuple[str, ...]) -> None:
    (problem,) = problems(**sections)
    assert all(name in problem for name in named)
    assert "hunter2" not in problem
    assert "docs/settings.md" in problem


def test_secrets_are_shown_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    login = {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "sasl_username": "u",
        "sasl_password": "hunter2",
    }
    settings = load(kafka=login, objects={"s3_access_key_id": "k", "s3_secret_access_key": "hunter2"})
    assert "hunter2" not in json.dumps(redacted(settings)) + repr(settings)
    assert redacted(settings)["kafka"]["sasl_password"] == "**********"
    file = tmp_path / "site.toml"
    file.write_text("[kafka]\nsasl_password = 424242\n")
    monkeypatch.setenv(CONFIG_FILE, str(file))
    assert problems() == [
        "CUTSTREAM_KAFKA__SASL_PASSWORD: expected text (secret) (docs/settings.md#kafka-sasl-password)"
    ]


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("objects", "s3_endpoint", "http://user:hunter2@store:9000"),
        ("objects", "s3_endpoint", "http://user:p@hunter2@store"),
        ("objects", "destination", "s3://user:hunter2@bucket/out"),
        ("triton", "url", "user:hunter2@triton:8001"),
        ("triton", "url", "grpc://user:hunter2@triton:8001"),
        ("triton", "url", "user:hunter2" + "x" * 200 + "@triton\n"),
        ("kafka", "bootstrap_servers", "broker:9092,user:hunter2@broker:9092"),
        ("kafka", "bootstrap_servers", "sasl://us,er:hunter2@broker:9092"),
        ("kafka", "bootstrap_servers", "user:hunter2@broker:9092\n"),
        ("kafka", "bootstrap_servers", "user:a hunter2@broker:9092"),
        ("objects", "s3_endpoint", "http://user:a hunter2@store:9000"),
        ("objects", "allowed_buckets", "s3://user:a hunter2@bucket"),
    ],
)
def test_a_password_in_an_address_is_shown_nowhere(section: str, name: str, value: str) -> None:
    """No setting takes one there, so the value is wrong, and some are found out only when it is used."""
    try:
        settings = load(**{section: {name: value}})
        shown = json.dumps(redacted(settings))
        ObjectStore(settings.objects, settings.limits)
    except ConfigurationError as exc:
        shown = str(exc)
        assert variable(section, name) in shown
    assert "hunter2" not in shown
    assert "…@" in shown or "\\u2026@" in shown


def test_an_at_in_a_folders_name_is_shown() -> None:
    assert redacted(load(objects={"destination": "/data/me@home/out"}))["objects"]["destination"] == "/data/me@home/out"


def test_every_setting_can_be_given_as_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = redacted(load())
    for section, name, _ in fields():
        value = plain[section][name]
        text = ",".join(value) if isinstance(value, list) else "" if value is None else str(value)
        monkeypatch.setenv(variable(section, name), text)
    assert load() == Settings.model_construct()


def test_embedded_addresses_stand_in_where_none_are_given() -> None:
    embedded = addressed(load())
    assert (embedded.kafka.bootstrap_servers, embedded.triton.url) == ("127.0.0.1:19092", "127.0.0.1:18001")
    given = addressed(load(kafka={"bootstrap_servers": "broker:9092"}, triton={"url": "triton:8001"}))
    assert (given.kafka.bootstrap_servers, given.triton.url) == ("broker:9092", "triton:8001")


@pytest.mark.parametrize(
    ("section", "name", "value", "problem"),
    [
        ("kafka", "bootstrap_servers", "broker", "must be `host:port` without a scheme"),
        ("kafka", "bootstrap_servers", "a:9092,b", "must be `host:port` without a scheme"),
        ("kafka", "bootstrap_servers", "a:9092,", "must be `host:port` without a scheme"),
        ("kafka", "bootstrap_servers", "PLAINTEXT://a:9092", "must be `host:port` without a scheme"),
        ("kafka", "bootstrap_servers", "a:99999", "must be `host:port` without a scheme"),
        ("kafka", "bootstrap_servers", "a..b:9092", "must be `host:port` without a scheme"),
        ("kafka", "bootstrap_servers", f"{'a' * 64}.b:9092", "must be `host:port` without a scheme"),
        ("kafka", "bootstrap_servers", "[::1:9092", "must be `host:port` without a scheme"),
        ("kafka", "bootstrap_servers", "a:" + "9" * 5000, "must be `host:port` without a scheme"),
        ("kafka", "bootstrap_servers", "::1:9092", "must be `host:port` without a scheme"),
        ("kafka", "bootstrap_servers", "[broker]:9092", "must be `host:port` without a scheme"),
        ("kafka", "bootstrap_servers", "[127.0.0.1]:9092", "must be `host:port` without a scheme"),
        ("kafka", "bootstrap_servers", "*:9092", "must be `host:port` without a scheme"),
        ("kafka", "bootstrap_servers", "a:0000099999", "must be `host:port` without a scheme"),
        ("triton", "url", "::1:8001", "must be the gRPC address `host:port` without a scheme"),
        ("worker", "host", "*", "is not a valid host"),
        ("kafka", "group", "a" * 250, "expected text of 1 to 249 characters"),
        ("kafka", "group", "a\nb", "has a control character, such as a line break"),
        ("kafka", "group", "caf\udce9", "is not UTF-8"),
        ("kafka", "sasl_username", "caf\udce9", "is not UTF-8"),
        ("kafka", "instance_id", "worker 1", "is not a valid id"),
        ("kafka", "transactional_id", "cutout.dead-letters.operator", "`cutstream dead-letters replay`"),
        ("kafka", "results_topic", "cutout_requests", "must differ in more than . and _"),
        ("kafka", "results_topic", "__consumer_offsets", "is not a valid topic name"),
        ("worker", "host", "a..b", "is not a valid host"),
        ("worker", "host", "localhost:80", "is not a valid host"),
        ("worker", "traces_url", "collector:4318", "must be an http:// or https:// address"),
        ("worker", "traces_url", "http://user:pass@collector:4318/", "OTEL_EXPORTER_OTLP_HEADERS is for secrets"),
        ("worker", "traces_url", "https://collector/v1/traces?key=a", "OTEL_EXPORTER_OTLP_HEADERS is for secrets"),
        ("kafka", "results_topic", "cut outs", "is not a valid topic name"),
        ("kafka", "requests_topic", "..", "is not a valid topic name"),
        ("triton", "url", "http://triton:8000", "must be the gRPC address `host:port` without a scheme"),
        ("triton", "url", "https://triton", "must be the gRPC address `host:port` without a scheme"),
        ("triton", "url", "triton", "must be the gRPC address `host:port` without a scheme"),
        ("objects", "allowed_hosts", "https://example.org", "matches no host"),
        ("objects", "allowed_hosts", "example.org:443", "matches no host"),
        ("objects", "allowed_hosts", "example.org/photos", "matches no host"),
        ("objects", "allowed_hosts", "*", "matches no host"),
        ("objects", "allowed_hosts", "www.*.org", "matches no host"),
        ("objects", "allowed_buckets", "s3://photos/2030", "matches no bucket"),
        ("objects", "allowed_buckets", "s4://photos", "matches no bucket"),
        ("limits", "max_source_bytes", "99999999999999999999", "expected a whole number from 1 to 2,000,000,000"),
        ("limits", "max_source_pixels", "99999999999999999999", "expected a whole number from 1 to 1,000,000,000"),
        ("worker", "memory_bytes", "1e30", "expected a whole number from 50,000,000 to 10,000,000,000,000"),
        ("limits", "download_timeout_s", "inf", "expected a number above 0 and at most 600"),
        ("limits", "download_timeout_s", "nan", "expected a number above 0 and at most 600"),
    ],
)
def test_what_cannot_work_is_refused_with_its_name(
    monkeypatch: pytest.MonkeyPatch, section: str, name: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(variable(section, name), value)
    (found,) = problems()
    assert variable(section, name) in found
    assert problem in found
    assert found.isprintable()
    assert "(docs/settings.md#" in found


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("kafka", "bootstrap_servers", "a.example.org:9092, [::1]:9092"),
        ("kafka", "bootstrap_servers", "a.example.org.:9092,my_broker:09092,bücher.example:1"),
        ("triton", "url", "127.0.0.1:8001"),
        ("triton", "url", "[2001:db8::1]:8001"),
        ("worker", "host", "::"),
        ("worker", "traces_url", "http://[::1]:4318/v1/traces"),
        ("worker", "traces_url", "https://collector.example.org"),
        ("objects", "allowed_hosts", "example.org,*.example.org,192.0.2.1,2001:db8::1,images"),
        ("objects", "allowed_buckets", "photos,gs://photos.example.org"),
    ],
)
def test_every_form_that_works_is_accepted(
    monkeypatch: pytest.MonkeyPatch, section: str, name: str, value: str
) -> None:
    monkeypatch.setenv(variable(section, name), value)
    load()


@pytest.mark.parametrize(
    ("section", "name", "value", "problem"),
    [
        ("worker", "window", "true", "CUTSTREAM_WORKER__WINDOW=true: expected a whole number from 1 to 1,024"),
        ("worker", "heartbeat_s", "true", "CUTSTREAM_WORKER__HEARTBEAT_S=true: expected a number from 1 to 600"),
        ("worker", "device", "false", "CUTSTREAM_WORKER__DEVICE=false: expected one of"),
        ("kafka", "sasl_username", '"a\\u0000"', "CUTSTREAM_KAFKA__SASL_USERNAME=a\\x00: has a control character"),
        ("kafka", "sasl_password", '"a\\u0000"', "CUTSTREAM_KAFKA__SASL_PASSWORD: has a control character"),
        ("stack", "state", '"a\\u0000"', "CUTSTREAM_STACK__STATE=a\\x00: has a control character"),
        ("objects", "file_roots", '["/a\\n"]', "CUTSTREAM_OBJECTS__FILE_ROOTS=['/a\\n']: has a control character"),
    ],
)
def test_what_only_the_file_can_hold_is_refused_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, section: str, name: str, value: str, problem: str
) -> None:
    file = tmp_path / "site.toml"
    file.write_text(f"[{section}]\n{name} = {value}\n")
    monkeypatch.setenv(CONFIG_FILE, str(file))
    (found,) = problems()
    assert found.startswith(problem)


def test_a_truth_value_of_the_file_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text("[objects]\nallow_private_addresses = true\n")
    monkeypatch.setenv(CONFIG_FILE, str(file))
    assert load().objects.allow_private_addresses is True


def test_every_number_has_an_upper_limit() -> None:
    """A value that overflows must be refused, and not end the worker when it is used."""
    numbers = [(section, name, node) for section, name, node in fields() if node.get("type") in ("integer", "number")]
    assert [f"{section}.{name}" for section, name, node in numbers if "maximum" not in node] == []


def test_ports_of_an_embedded_server_that_is_not_used_may_repeat() -> None:
    load(kafka={"bootstrap_servers": "broker:9092"}, worker={"port": 19092})
    (problem,) = problems(kafka={"bootstrap_servers": "broker:9092"}, worker={"port": 18001})
    assert problem.startswith("CUTSTREAM_WORKER__PORT=18001 and CUTSTREAM_STACK__TRITON_GRPC_PORT=18001: choose")


def test_a_page_that_others_can_reach_needs_a_token() -> None:
    (problem,) = problems(page={"host": "0.0.0.0"})
    assert "set CUTSTREAM_PAGE__TOKEN, too" in problem
    load(page={"host": "0.0.0.0", "token": "0123456789abcdef"})
    for host in ("localhost", "::1", "127.0.0.2"):
        load(page={"host": host})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("token", "too-short"),
        ("token", "has a space in it ever"),
        ("hosts", ["https://cut.example.org"]),
        ("hosts", ["cut.example.org:80"]),
        ("workers", ["http://worker-1:9100"]),
        ("workers", ["worker-1"]),
        ("host", "not a host"),
        ("photos", "yes"),
    ],
)
def test_a_wrong_setting_of_the_page_is_named(field: str, value: object) -> None:
    given = {"host": "127.0.0.1", "token": "0123456789abcdef", field: value}
    assert any(f"CUTSTREAM_PAGE__{field.upper()}" in problem for problem in problems(page=given))


def test_the_page_is_on_the_port_after_that_of_the_metrics() -> None:
    assert load().page_port == 9200
    assert load(worker={"port": 9300}).page_port == 9400
    assert load(worker={"port": 0}).page_port == 0
    assert load(worker={"port": 65535}).page_port == 0
    assert load(page={"port": 0}).page_port == 0
    (problem,) = problems(page={"port": 9100})
    assert problem.startswith("CUTSTREAM_WORKER__PORT=9100 and CUTSTREAM_PAGE__PORT=9100: choose")

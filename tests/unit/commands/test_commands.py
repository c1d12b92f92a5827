"""The command line, up to the point where it would start a server."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from commands import console
from commands.app import app
from consumer.resources.decoding import system_calls
from cutstream import __version__
from cutstream.clients import kafka
from cutstream.contract.messages import Request, decode_request
from cutstream.contract.options import Background, Shadow
from cutstream.errors import BrokerUnavailable
from cutstream.settings import ModelSettings, ObjectSettings, StackSettings
from deploy.local import kafka as local
from deploy.local.allowed import noted
from evaluation.comparison import run as comparison
from evaluation.comparison.profiles import DEFAULT_PROFILES
from export.weights.catalogue import read_catalogue
from producer.folders import exchange, running
from tests.support.evaluation import evaluation_folder
from tests.support.models import small_models

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command with no settings but those given."""
    for name in [name for name in os.environ if name.startswith("CUTSTREAM_")]:
        monkeypatch.delenv(name)
    for stream in (console.out, console.err):
        monkeypatch.setattr(stream, "width", 200)

    def invoke(*arguments: str, input: str | None = None, **environment: str) -> Result:
        variables = {f"CUTSTREAM_{name}": value for name, value in environment.items()}
        return CliRunner().invoke(app, arguments, input=input, env=variables)

    return invoke


def test_the_version(run: Run) -> None:
    done = run("--version")
    assert (done.exit_code, done.stdout) == (0, f"{__version__}\n")


def test_help_lists_every_command(run: Run) -> None:
    shown = run("--help").stdout
    assert all(name in shown for name in ("worker", "up", "submit", "results", "demo", "evaluate", "models"))


def test_check_prints_the_settings_and_no_secret(run: Run) -> None:
    done = run(
        "worker",
        "--check",
        KAFKA__BOOTSTRAP_SERVERS="kafka:9093",
        KAFKA__SECURITY_PROTOCOL="SASL_SSL",
        KAFKA__SASL_MECHANISM="PLAIN",
        KAFKA__SASL_USERNAME="worker",
        KAFKA__SASL_PASSWORD="hunter2",
        WORKER__WINDOW="7",
    )
    shown = json.loads(done.stdout)
    assert done.exit_code == 0
    assert "hunter2" not in done.output
    assert shown["worker"]["window"] == 7
    assert (shown["kafka"]["sasl_username"], shown["kafka"]["sasl_password"]) == ("worker", "**********")


def test_check_says_where_decoders_run_without_a_filter(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_calls, "why_unfiltered", lambda: "no seccomp here")
    done = run("worker", "--check")
    assert done.exit_code == 0
    assert json.loads(done.stdout)
    assert done.stderr == "decoders can reach files and networks: no seccomp here\n"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("WORKER__WINDOW", "many", "CUTSTREAM_WORKER__WINDOW=many: expected a whole number"),
        ("WORKER__WINDWO", "7", "did you mean `CUTSTREAM_WORKER__WINDOW`"),
        ("MODELS__DEFAULT_PROFILE", "[/]", "CUTSTREAM_MODELS__DEFAULT_PROFILE=[/]"),
    ],
)
def test_a_wrong_setting_is_named_and_ends_with_78(run: Run, name: str, value: str, message: str) -> None:
    done = run("worker", "--check", **{name: value})
    assert done.exit_code == 78
    assert done.stdout == ""
    assert done.stderr.startswith("configuration: ")
    assert message in done.stderr
    assert "Traceback" not in done.output


def test_an_option_that_does_not_exist_ends_with_2(run: Run) -> None:
    assert run("worker", "--chekc").exit_code == 2


def test_the_catalogue_is_listed_with_the_weights_that_are_present(run: Run, tmp_path) -> None:
    done = run("models", "list", MODELS__STORE=str(tmp_path))
    assert done.exit_code == 0
    assert all(model.name in done.stdout for model in read_catalogue(ModelSettings()))
    assert "no" in done.stdout


class Writer:
    """A RecordWriter that keeps what is written, or raises `error` at its start."""

    written: list[kafka.OutgoingRecord]
    error: Exception | None = None

    def __init__(self, settings) -> None:
        Writer.written = []

    def start(self) -> None:
        if Writer.error:
            raise Writer.error

    def write(self, records) -> dict[kafka.Partition, int]:
        Writer.written.extend(records)
        return {kafka.Partition(record.topic, 0): len(Writer.written) for record in records}

    def close(self) -> None:
        """Nothing is open."""


class QuietReader:
    """A TopicReader of a topic without records."""

    def __init__(self, settings, topic: str, **options) -> None:
        pass

    def start(self) -> None:
        pass

    def next_offsets(self) -> dict[int, int]:
        return {0: 0}

    def poll(self, timeout_s: float) -> list[kafka.Record]:
        return []

    def close(self) -> None:
        pass


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Writer]:
    """Have `submit` write to a Kafka that is none, each time with a ledger that knows nothing."""
    ledgers = count()

    def cluster_and_ends(settings, topic: str) -> tuple[str, dict[int, int]]:
        if Writer.error:
            raise Writer.error
        return "cluster", {0: 0}

    monkeypatch.setattr(exchange, "RecordWriter", Writer)
    monkeypatch.setattr(exchange, "TopicReader", QuietReader)
    monkeypatch.setattr(running, "cluster_and_ends", cluster_and_ends)
    monkeypatch.setattr(running, "ledger_of_stream", lambda *_: tmp_path / "ledgers" / f"{next(ledgers)}.db")
    monkeypatch.setattr(local, "is_ready", lambda port, identity: True)
    monkeypatch.setenv("CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS", "kafka:9092")
    monkeypatch.setattr(Writer, "error", None)
    monkeypatch.setattr(Writer, "written", [], raising=False)
    return Writer


def test_submit_writes_valid_requests_and_prints_their_ids(run: Run, writer: type[Writer]) -> None:
    lines = "s3://photos/a.jpg\n\nhttps://example.org/b[/].jpg?x=1\n"
    done = run("submit", "-", "--crop", "--crop-margin", "5%", "--outputs", "cutout,mask", input=lines)
    assert done.exit_code == 0, done.output
    requests = [decode_request(record.value) for record in writer.written]
    assert [request.image for request in requests] == ["s3://photos/a.jpg", "https://example.org/b[/].jpg?x=1"]
    assert requests[0] == Request(
        image="s3://photos/a.jpg",
        id=requests[0].id,
        crop=True,
        crop_margin="5%",
        outputs=("cutout", "mask"),
        labels=requests[0].labels,
    )
    assert requests[0].labels == requests[1].labels
    assert f"cancel --batch {requests[0].labels['batch']}" in done.stderr
    assert done.stdout.splitlines() == [f"{request.id}\t{request.image}" for request in requests]
    assert [record.key for record in writer.written] == [request.id.encode() for request in requests]


@pytest.mark.parametrize("mark", ["\n", "\0"])
def test_submit_sends_what_a_list_names_and_tells_what_it_does_not(
    run: Run, writer: type[Writer], tmp_path: Path, mark: str
) -> None:
    (tmp_path / "a.jpg").touch()
    entries = [str(tmp_path / "a.jpg"), "nope.jpg", *(f"{number}.jpg" for number in range(9)), "s3://photos/a.jpg"]
    done = run("submit", "-", "--anyway", input="".join(f"{entry}{mark}" for entry in entries))
    assert done.exit_code == 1, done.output
    sent = [decode_request(record.value).image for record in writer.written]
    assert sent == [(tmp_path / "a.jpg").as_uri(), "s3://photos/a.jpg"]
    assert "10 entries of the list name no file, folder or address that is there" in done.stderr
    assert "  'nope.jpg'\n" in done.stderr
    assert "  and 5 more" in done.stderr
    assert "cancel --batch" in done.stderr


@pytest.mark.parametrize(("options", "topic"), [((), "cutout.requests"), (("--urgent",), "cutout.requests.urgent")])
def test_submit_writes_urgent_requests_to_their_own_topic(run: Run, writer: type[Writer], options, topic: str) -> None:
    done = run("submit", "s3://a/b.jpg", *options)
    assert done.exit_code == 0, done.output
    assert [record.topic for record in writer.written] == [topic]


def test_submit_takes_all_other_fields_as_json(run: Run, writer: type[Writer]) -> None:
    done = run("submit", "s3://a/b.jpg", "--request", '{"shadow": {"type": "cast"}, "background": {"image": "oak"}}')
    assert done.exit_code == 0, done.output
    (request,) = [decode_request(record.value) for record in writer.written]
    assert (request.shadow, request.background) == (Shadow(type="cast"), Background(image="oak"))


@pytest.mark.parametrize(
    ("arguments", "outputs", "background"),
    [
        ((), ("cutout",), Background()),
        (("--background", "red"), ("composite",), Background(color="red")),
        (("--background", "red", "--outputs", "cutout,layers"), ("cutout", "layers"), Background(color="red")),
        (("--request", '{"background": {"image": "oak"}}'), ("composite",), Background(image="oak")),
    ],
)
def test_submit_asks_for_a_composite_if_a_background_is_given(
    run: Run, writer: type[Writer], arguments: tuple[str, ...], outputs: tuple[str, ...], background: Background
) -> None:
    done = run("submit", "s3://a/b.jpg", *arguments)
    assert done.exit_code == 0, done.output
    (request,) = [decode_request(record.value) for record in writer.written]
    assert (request.outputs, request.background) == (outputs, background)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("s3://a/b.jpg", "--request", '{"shadwo": 1}'), "did you mean `shadow`"),
        (("s3://a/b.jpg", "--outputs", "cutuot"), "`outputs[0]`: expected one of"),
        (("s3://a/b.jpg", "--format", "gif"), "`format`: expected one of"),
        (("s3://a/\udcff",), "the address or an option has '\\udcff', which is not UTF-8"),
        (("s3://a/b", "--profile", "\udcff"), "the address or an option has '\\udcff', which is not UTF-8"),
        (("no-such-folder",), "names no photos"),
        (("",), "no photo is named"),
        (("~no-such-user/x",), "'~no-such-user/x': "),
        (("s3://a/b.jpg", "--crop-margin", "5%"), "crop_margin does nothing without `crop`"),
        (("s3://a/b.jpg", "--background", "red", "--outputs", "cutout"), "background changes only output"),
        (("s3://a/b.jpg", "--destination", "https://a/out"), "--destination 'https://a/out': give a folder"),
        (("s3://a/b.jpg", "--destination", " "), "--destination is blank"),
        (("s3://a/b.jpg", "--request", "no-such-file"), "neither JSON nor a file that can be read"),
        (("s3://a/b.jpg", "--request", '{"a":' + "[" * 100_000), "--request is not JSON"),
    ],
)
def test_submit_refuses_invalid_requests(run: Run, writer: type[Writer], arguments, message: str) -> None:
    done = run("submit", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert writer.written == []


def test_submit_sends_nothing_if_a_worker_would_refuse_every_photo(run: Run, writer: type[Writer], tmp_path) -> None:
    lines = "".join(f"file:///photos/{number}.jpg\n" for number in range(5))
    kafka = {"KAFKA__BOOTSTRAP_SERVERS": "kafka:9092"}
    done = run("submit", "-", input=lines, **kafka)
    assert (done.exit_code, done.stdout, writer.written) == (1, "", [])
    assert done.stderr.count("would refuse a request: image: file:///photos/") == 3
    assert "CUTSTREAM_OBJECTS__FILE_ROOTS, which names none" in done.stderr
    assert "each of these 5 requests would fail" in done.stderr

    assert run("submit", "-", "--anyway", input=lines, **kafka).exit_code == 0
    assert len(writer.written) == 5
    allowed = run("submit", "-", input=lines, OBJECTS__FILE_ROOTS="/photos", **kafka)
    assert (allowed.exit_code, "warning" in allowed.stderr) == (0, False)


def test_submit_warns_of_the_photos_that_a_worker_would_refuse_and_sends_all(run: Run, writer: type[Writer]) -> None:
    lines = ["ftp://a/b.jpg", "https://10.0.0.1/b.jpg", "s3://a/b.jpg", "nonsense://", "file:///a.jpg"]
    done = run("submit", "-", input="\n".join(lines), KAFKA__BOOTSTRAP_SERVERS="kafka:9092")
    assert done.exit_code == 0, done.output
    assert [decode_request(record.value).image for record in writer.written] == lines
    assert "would refuse a request: image: 10.0.0.1 has an address outside the public internet" in done.stderr
    assert "4 requests in all would be refused" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "setting"),
    [
        (("--destination", "s3://elsewhere/out"), "request: destination: .*ALLOWED_BUCKETS"),
        (("--destination", "file:///elsewhere"), "request: destination: .*FILE_ROOTS"),
        (("--destination", "elsewhere/here"), "request: destination: file://.*/elsewhere/here/.*FILE_ROOTS"),
        (("--request", '{"background": {"image": "https://10.0.0.1/sea.jpg"}}'), "background.image: .*public internet"),
        (("--request", '{"destination": "/out"}'), "request: destination: an address must begin with a scheme"),
    ],
)
def test_submit_checks_the_addresses_that_all_its_requests_share(
    run: Run, writer: type[Writer], arguments, setting: str
) -> None:
    done = run("submit", "-", *arguments, input="s3://a/b.jpg\ns3://a/c.jpg", KAFKA__BOOTSTRAP_SERVERS="kafka:9092")
    assert (done.exit_code, writer.written) == (1, [])
    assert re.search(setting, done.stderr)
    assert done.stderr.count("would refuse") == 1


def test_submit_takes_a_folder_as_destination(
    run: Run, writer: type[Writer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = {"KAFKA__BOOTSTRAP_SERVERS": "kafka:9092", "OBJECTS__FILE_ROOTS": str(tmp_path)}
    for argument in ("my out", "./my out/", str(tmp_path / "my out"), "~/my out", f"{tmp_path.as_uri()}/my%20out"):
        done = run("submit", "s3://a/b.jpg", "--destination", argument, **settings)
        assert done.exit_code == 0, done.output
        (request,) = [decode_request(record.value) for record in writer.written]
        assert request.destination == f"{tmp_path.as_uri()}/my%20out"


LOCAL = {"KAFKA__BOOTSTRAP_SERVERS": ""}


def test_submit_says_that_no_stack_runs_before_it_says_anything_of_settings(run: Run, writer, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    for options in ((), ("--out", str(tmp_path / "out")), ("--wait",)):
        done = run("submit", str(tmp_path / "a.jpg"), *options, STACK__STATE=str(tmp_path / "state"), **LOCAL)
        assert (done.exit_code, writer.written) == (1, [])
        assert "stack: no stack runs on" in done.stderr
        assert "`cutstream up` in another terminal" in done.stderr
        assert "FILE_ROOTS" not in done.stderr


def test_submit_goes_by_what_the_local_worker_may_read(run: Run, writer: type[Writer], tmp_path: Path) -> None:
    worker = ObjectSettings(file_roots=(Path("/photos"),), s3_access_key_id="id", s3_secret_access_key="secret")
    stack = StackSettings(state=tmp_path)
    with noted(worker, stack):
        assert "secret" not in (tmp_path / "allowed.json").read_text()
        assert run("submit", "file:///photos/a.jpg", STACK__STATE=str(tmp_path), **LOCAL).exit_code == 0
        assert run("submit", "file:///other/a.jpg", STACK__STATE=str(tmp_path), **LOCAL).exit_code == 1
    assert run("submit", "file:///photos/a.jpg", STACK__STATE=str(tmp_path), **LOCAL).exit_code == 1


def test_what_a_stack_noted_that_was_killed_does_not_count(run: Run, writer: type[Writer], tmp_path: Path) -> None:
    with noted(ObjectSettings(file_roots=(Path("/photos"),)), StackSettings(state=tmp_path)):
        note = (tmp_path / "allowed.json").read_bytes()
    (tmp_path / "allowed.json").write_bytes(note)
    assert run("submit", "file:///photos/a.jpg", STACK__STATE=str(tmp_path), **LOCAL).exit_code == 1
    (tmp_path / "allowed.json").write_bytes(b"\xff")
    assert run("submit", "file:///photos/a.jpg", STACK__STATE=str(tmp_path), **LOCAL).exit_code == 1


def test_submit_says_when_no_broker_answers(run: Run, writer: type[Writer]) -> None:
    writer.error = BrokerUnavailable("Kafka: nobody there")
    done = run("submit", "s3://a/b.jpg")
    assert (done.exit_code, done.stderr) == (1, "broker_unavailable: Kafka: nobody there\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "a b", "README.md"), "invalid_option: 'a b' is not a valid name for a background"),
        (("add", "beach", "README.md"), "invalid_file_type: not an image of an accepted format"),
        (("add", "beach", "no-such-file"), "failed_image_download: "),
        (("add", "beach", "file:///etc/hostname"), "invalid_image_url: "),
    ],
)
def test_an_invalid_background_is_an_error_before_any_connection(run: Run, arguments, message: str) -> None:
    done = run("backgrounds", *arguments)
    assert (done.exit_code, done.stdout) == (2 if "invalid_option" in message else 1, "")
    assert message in done.stderr


def test_missing_weights_and_profiles_are_errors_before_a_comparison_begins(run: Run, tmp_path) -> None:
    store = {"MODELS__STORE": str(tmp_path)}
    for profiles, words in (("fast,general", "cutstream models pull u2netp"), ("fast,nothing", "no profile 'nothing'")):
        done = run("compare", str(tmp_path / "absent"), "--profiles", profiles, **store)
        assert done.exit_code == (2 if "no profile" in words else 1)
        assert words in done.stderr


def test_a_comparison_of_the_default_profiles_leaves_out_those_without_weights(
    run: Run, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = []
    monkeypatch.setattr(comparison, "compare_profiles", lambda plan, *rest: planned.append(plan))
    folder, models = evaluation_folder(tmp_path / "set"), small_models(tmp_path)
    nothing = {"MODELS__STORE": str(tmp_path / "empty")}
    done = run("compare", str(folder), **nothing)
    assert done.exit_code == 0, done.output
    assert "everything is left out: SAM 2.1, Hiera tiny, automatic mode has no exported graph" in done.stdout
    assert "run `cutstream export sam2_everything_hiera_tiny --weights FILE`" in done.stdout
    everything = {"MODELS__MIRROR": str(models.mirror), "MODELS__CATALOGUE": str(models.catalogue)}
    done = run("compare", str(folder), MODELS__STORE=str(tmp_path / "store"), **everything)
    assert done.exit_code == 0, done.output
    few, many = planned
    assert (few.profiles, set(few.left_out)) == (("fast",), set(DEFAULT_PROFILES) - {"fast"})
    assert (many.profiles, many.left_out) == (DEFAULT_PROFILES, {})
    done = run("compare", str(folder), "--profiles", "everything,fast", **nothing)
    assert (done.exit_code, done.stderr.split(":")[0], len(planned)) == (1, "weights_missing", 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cutnte",), "the catalogue has no model 'cutnte'"),
        (("cutnet", "--precision", "int8"), "int8 is calibrated on photos"),
        (("cutnet", "--weights", "README.md"), "cutnet is published as ONNX"),
        (("cutnet", "--to", "tensorrt"), "TensorRT"),
    ],
)
def test_an_impossible_export_is_an_error(run: Run, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = run("export", *arguments, MODELS__STORE=str(tmp_path))
    assert done.exit_code == (1 if message == "TensorRT" else 2)
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_export_is_written_to_the_given_path_and_compared_with_fp32(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "half.onnx"
    done = run("export", "cutnet", "--precision", "fp16", "--out", str(place), MODELS__STORE=str(tmp_path / "store"))
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0] == str(place)
    assert "compared with fp32 on 5 photos: mean IoU 0.99" in done.stdout
    assert sorted(file.name for file in tmp_path.iterdir()) == ["half.onnx", "half.onnx.json"]


@pytest.mark.parametrize("arguments", [("export", "cutnet", "--precision", "fp16"), ("gallery",)])
def test_an_output_that_cannot_be_written_is_an_error(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "file").touch()
    done = run(*arguments, "--out", str(tmp_path / "file" / "below"), MODELS__STORE=str(tmp_path / "store"))
    assert done.exit_code == (2 if "gallery" in arguments else 1)
    assert f"{tmp_path}/file/below cannot be" in done.stderr


def test_a_model_repository_is_written_for_another_triton(run: Run, tmp_path: Path) -> None:
    done = run("models", "render", TRITON__URL="triton:8001", STACK__STATE=str(tmp_path), **LOCAL)
    assert done.exit_code == 0, done.output
    assert (Path(done.stdout.strip()) / "cutnet" / "1" / "model.onnx").is_file()
    done = run("models", "render", MODELS__ENGINE="tensorrt", STACK__STATE=str(tmp_path), **LOCAL)
    assert done.exit_code == 1
    assert "CUTSTREAM_MODELS__ENGINE=tensorrt needs NVIDIA's Triton image" in done.stderr


@pytest.mark.parametrize("topics", [[], ["cutout.requests"]])
def test_creating_topics_names_those_in_which_senders_choose_the_times(
    run: Run, monkeypatch: pytest.MonkeyPatch, topics: list[str]
) -> None:
    monkeypatch.setattr(kafka, "ensure_topics", lambda settings: None)
    monkeypatch.setattr(kafka, "topics_with_senders_times", lambda settings: topics)
    result = run("topics", "create", KAFKA__BOOTSTRAP_SERVERS="nowhere:9092")
    assert result.exit_code == 0, result.output
    assert ("message.timestamp.type=LogAppendTime" in result.stderr) == bool(topics)

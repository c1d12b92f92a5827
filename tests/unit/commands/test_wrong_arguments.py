"""Arguments that are wrong end every command with status 2, before any server is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from click import Group
from click.testing import Result
from typer.main import get_command
from typer.testing import CliRunner

from commands.app import app
from cutstream.errors import Poison

IMAGE = "s3://photos/chair.jpg"

WRONG: list[tuple[tuple[str, ...], str]] = [
    (("worker", "--check=1"), ""),
    (("up", "extra"), ""),
    (("submit",), ""),
    (("submit", ""), "no photo is named"),
    (("submit", "no-such-folder"), "names no photos"),
    (("submit", IMAGE, "--profile", ""), "`profile`: expected text of 1 to 100 characters"),
    (("submit", IMAGE, "--outputs", "cutuot"), "`outputs[0]`: expected one of"),
    (("submit", IMAGE, "--format", "gif"), "`format`: expected one of"),
    (("submit", IMAGE, "--crop-margin", "5%"), "crop_margin does nothing without `crop`"),
    (("submit", IMAGE, "--crop", "--crop-margin", "wide"), "crop_margin"),
    (("submit", IMAGE, "--background", "mauvish"), "background.color"),
    (("submit", IMAGE, "--destination", "https://host/out"), "--destination 'https://host/out'"),
    (("submit", IMAGE, "--request", "[]"), "--request"),
    (("submit", IMAGE, "--request", '{"shadwo": 1}'), "did you mean `shadow`"),
    (("submit", IMAGE, "--urgent=yes"), ""),
    (("submit", IMAGE, "--anyway=yes"), ""),
    (("results", "--follow=1"), ""),
    (("demo", "--photos", "no-such-folder"), "names no photos"),
    (("demo", "--profile", "nothing"), "there is no profile 'nothing'"),
    (("demo", "--out", "README.md/below"), "cannot be made a folder"),
    (("gallery", "--out", "README.md/below"), "cannot be made a folder"),
    (("evaluate", "no-such-folder", "--profile", "fast", "--predictions", "x"), "exclude each other"),
    (("evaluate", "no-such-folder", "--json", "/"), "--json / is a folder"),
    (("compare", "no-such-folder", "--profiles", "fast,nothing"), "there is no profile 'nothing'"),
    (("compare", "no-such-folder", "--sample", "0"), ""),
    (("compare", "no-such-folder", "--rounds", "0"), ""),
    (("compare", "no-such-folder", "--seed", "x"), ""),
    (("compare", "no-such-folder", "--json", "/"), "--json / is a folder"),
    (("tune", "no-such-folder", "--budget", "x"), ""),
    (("tune", "no-such-folder", "--seed", "x"), ""),
    (("tune", "no-such-folder", "--profile", "auto"), "--profile"),
    (("tune", "no-such-folder", "--save", "base.toml"), "built-in preset"),
    (("tune", "no-such-folder", "--json", "/"), "--json / is a folder"),
    (("export", "cutnte"), "the catalogue has no model 'cutnte'"),
    (("export", "cutnet", "--to", "tflite"), ""),
    (("export", "cutnet", "--precision", "int4"), ""),
    (("export", "cutnet", "--precision", "int8"), "int8 is calibrated on photos"),
    (("export", "cutnet", "--photos", "no-such-folder"), ""),
    (("export", "cutnet", "--weights", "no-such-file"), ""),
    (("export", "cutnet", "--weights", "README.md"), "cutnet is published as ONNX"),
    (("models", "list", "extra"), ""),
    (("models", "pull", "cutnte"), "the catalogue has no model 'cutnte'"),
    (("models", "verify", "cutnte"), "the catalogue has no model 'cutnte'"),
    (("models", "render", "extra"), ""),
    (("topics", "create", "extra"), ""),
    (("cancel",), "either by their ids or by their labels"),
    (("cancel", "--id", ""), "`id`: expected text of 1 to 4,096 characters"),
    (("cancel", "--id", "a", "--batch", "b"), "either by their ids or by their labels"),
    (("cancel", "--ids", "no-such-file"), "--ids no-such-file cannot be read"),
    (("cancel", "--label", "tenant"), "use NAME=VALUE"),
    (("cancel", "--label", "=x"), "use NAME=VALUE"),
    (("cancel", "--label", "a" * 101 + "=x"), "is not text of 1 to 100 characters"),
    (("cancel", "--label", "a=" + "x" * 1001), "expected text of at most 1,000 characters"),
    (("cancel", "--batch", "x" * 1001), "expected text of at most 1,000 characters"),
    (("cancel", "--id", "a", "--expires", "soon"), "is not an age"),
    (("cancel", "--id", "a", "--expires", "0s"), "calls nothing off"),
    (("cancel", "--id", "a", "--expires", "99999999d"), "an age is at most 36500d"),
    (("cancel", "list", "extra"), ""),
    (("cancel", "undo"), "either by their ids or by their labels"),
    (("cancel", "undo", "--label", "tenant"), "use NAME=VALUE"),
    (("cancel", "undo", "--ids", "no-such-file"), "cannot be read"),
    *(
        (("dead-letters", command, *arguments), message)
        for command in ("list", "replay", "purge")
        for arguments, message in (
            (("--code", "nonsense"), "'nonsense': no dead letter has this code; there are destination_unavailable, "),
            (("--code", "invalid_requets"), "did you mean `invalid_request`?"),
            (("--code", "expired"), "--code 'expired': no dead letter has this code"),
            (("--since", "yesterday"), "neither an age such as 2h"),
            (("--until", "99999999d"), "an age is at most 36500d"),
            (("--label", "tenant"), "use NAME=VALUE"),
            (("--limit", "0"), ""),
            (("--limit", "all"), ""),
        )
    ),
    (("dead-letters", "show"), ""),
    (("backgrounds", "add", "a b", "README.md"), "'a b' is not a valid name for a background"),
    (("backgrounds", "add", "beach"), ""),
    (("backgrounds", "list", "extra"), ""),
    (("backgrounds", "remove"), ""),
]


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, arguments, env=environment)


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9")
    monkeypatch.setenv("CUTSTREAM_MODELS__STORE", str(tmp_path))


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[" ".join(a)[:60] for a, _ in WRONG])
def test_wrong_arguments_end_with_2(arguments: tuple[str, ...], message: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert "Traceback" not in done.output


def test_every_command_is_in_the_table() -> None:
    def paths(command: object, path: tuple[str, ...]) -> set[tuple[str, ...]]:
        if not isinstance(command, Group):
            return {path}
        below = {p for name, sub in command.commands.items() for p in paths(sub, (*path, name))}
        return below | ({path} if command.invoke_without_command and path else set())

    tried = {arguments[:length] for arguments, _ in WRONG for length in (1, 2)}
    assert paths(get_command(app), ()) - {()} <= tried


@pytest.mark.parametrize("code", sorted({"unexpected", *(error.code for error in Poison.__subclasses__())}))
def test_each_code_of_a_dead_letter_may_be_given(code: str) -> None:
    done = run("dead-letters", "list", "--code", code)
    assert (done.exit_code, done.stderr.split(":")[0]) == (1, "broker_unavailable")

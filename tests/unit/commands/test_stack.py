"""What `cutstream up` prints."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from commands import stack
from commands.stack import beside_stack, needed_variables, next_steps, page_address
from commands.watching import progress
from consumer.health import HealthServer
from cutstream.metrics import Metrics
from cutstream.settings import GatewaySettings, PageSettings, Settings, StackSettings, WorkerSettings, addressed
from deploy.local import running
from deploy.local.elsewhere import NEEDED
from deploy.local.running import RunningStack

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def program(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [str(ROOT / ".venv" / "bin" / "cutstream"), "up"])
    return ".venv/bin/cutstream"


def commands(lines: list[str]) -> list[list[str]]:
    return [shlex.split(line) for line in lines if line.startswith("  ")]


def test_the_next_steps_can_be_pasted(program: str) -> None:
    assert commands(next_steps([Path("/my photos/it's")])) == [
        [program, "cut", "photos/", "cutouts/"],
        [program, "submit", "/my photos/it's"],
        [program, "results", "--follow"],
        [program, "top"],
    ]


def test_the_next_steps_name_the_variables_that_find_the_stack(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CUTSTREAM_")]:
        monkeypatch.delenv(name)
    assert needed_variables() == ""
    given = {
        "CUTSTREAM_STACK__STATE": "my state",
        "CUTSTREAM_STACK__PORT_OFFSET": "100",
        "CUTSTREAM_WORKER__PORT": "9300",
        "CUTSTREAM_PAGE__TOKEN": "0123456789abcdef",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    variables = needed_variables()
    assert set(shlex.split(variables)) == {
        "CUTSTREAM_STACK__STATE=my state",
        "CUTSTREAM_STACK__PORT_OFFSET=100",
        "CUTSTREAM_WORKER__PORT=9300",
    }
    assert commands(next_steps([Path("/p")], variables))[-1] == [*shlex.split(variables), program, "top"]
    assert set(NEEDED) <= set(Settings.model_fields)
    for section, names in NEEDED.items():
        assert set(names) <= set(type(getattr(Settings(), section)).model_fields), section


def test_without_an_allowed_folder_the_next_step_is_to_allow_one(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/my name")
    cut, follow, watch, again = commands(next_steps([]))
    assert cut == [program, "cut", "photos/", "cutouts/"]
    assert "`cut` works with any folder" in "".join(next_steps([]))
    assert (follow, watch) == ([program, "results", "--follow"], [program, "top"])
    assert again == ["CUTSTREAM_OBJECTS__FILE_ROOTS=/home/my name/photos", program, "up"]


def test_up_names_the_addresses_first_and_says_what_is_left_until_the_servers_have_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = Metrics()
    metrics.in_flight.set(7)
    health = HealthServer("127.0.0.1", 0, metrics, dict, dict)
    port = urlsplit(health.start()).port or 0
    settings = addressed(Settings(worker=WorkerSettings(port=port)))

    @contextmanager
    def running_stack(*_: object) -> Iterator[RunningStack]:
        yield RunningStack(settings, None, 1.0, None)  # type: ignore[arg-type]
        until = time.monotonic() + 30
        while "stopping, 7 left" not in "".join(seen):
            assert time.monotonic() < until, seen
            time.sleep(0.02)
            seen.append(capsys.readouterr().out)

    seen: list[str] = []
    monkeypatch.setattr(running, "running_stack", running_stack)
    monkeypatch.setattr(running, "wait_until_stopped", lambda stack: None)
    monkeypatch.setattr(stack, "check_deployment", lambda settings: None)
    monkeypatch.setattr(progress, "_LEFT_EVERY_S", 0.05)
    stack.up()
    health.close()
    said = "".join(seen).split()
    assert said[:4] == ["cut", "out", "photos", f"{stack.gateway_address(settings.gateway)}/"]
    del said[:4]
    assert said[:2] == ["live", "page"]
    token = settings.page.token.get_secret_value() if settings.page.token else ""
    assert said[2] == f"http://127.0.0.1:{port + 100}/#token={token}"
    assert said[3:7] == [
        "metrics",
        f"http://127.0.0.1:{port}/metrics",
        "health",
        f"http://127.0.0.1:{port}/readyz",
    ]
    assert capsys.readouterr().out.splitlines()[-1] == "Stopped."


def test_the_live_page_has_an_address_unless_there_is_none_or_nobody_knows_it() -> None:
    token = SecretStr("0123456789abcdef")
    open_page, closed = Settings(), Settings(page=PageSettings(host="::1", port=9300, token=token))
    assert page_address(open_page) == "http://127.0.0.1:9200/"
    assert page_address(closed) == "http://[::1]:9300/#token=0123456789abcdef"
    assert page_address(Settings(page=PageSettings(enabled=False))) is None
    assert page_address(Settings(page=PageSettings(port=0))) is None
    assert page_address(Settings(worker=WorkerSettings(port=0))) is None


def test_the_gateway_keeps_its_jobs_beside_the_stack(tmp_path: Path) -> None:
    stack = StackSettings(state=tmp_path)
    assert beside_stack(Settings(stack=stack)).gateway.state == tmp_path / "gateway"
    assert beside_stack(Settings()).gateway.state == Settings().gateway.state
    named = Settings(stack=stack, gateway=GatewaySettings(state=tmp_path / "jobs"))
    assert beside_stack(named) == named

"""`cutstream plan`, as people and programs see it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from commands import console
from commands.app import app
from deploy.capacity.examples import EXAMPLES
from deploy.capacity.measured import load
from deploy.capacity.plan import make_plan
from deploy.capacity.prices import EXAMPLE

Plan = Callable[..., Result]


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> Plan:
    for stream in (console.out, console.err):
        monkeypatch.setattr(stream, "width", 200)
    return lambda *arguments: CliRunner().invoke(app, ["plan", *arguments])


def test_it_shows_the_arithmetic(plan: Plan) -> None:
    done = plan("--photos-a-day", "36000", "--hours", "10", "--peak", "5")
    assert done.exit_code == 0
    assert "36,000 ÷ (10 × 3,600)" in done.stdout
    assert "Cost" not in done.stdout
    assert f"Service times: {load().source}" in done.stdout


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_commands_of_the_worked_examples_give_their_plans(plan: Plan, name: str) -> None:
    example = EXAMPLES[name]
    done = plan(*example.command.split()[2:], "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["values"] == make_plan(example.demand, load(), example.choices).values()
    assert document["sections"][0]["steps"][0]["key"] == "mean_rate"


def test_prices_give_a_cost(plan: Plan) -> None:
    done = plan("--photos-a-day", "1000", "--prices", str(EXAMPLE), "--json")
    assert json.loads(done.stdout)["values"]["cost"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "tiff"], "--output tiff: use one of png, webp"),
        (["--profile", "hair"], "--profile hair: only"),
        (["--deadline", "0.02"], "--deadline 0.02: even idle workers need"),
        (["--prices", "none.toml"], "--prices none.toml: No such file"),
    ],
)
def test_what_cannot_be_planned_is_named(plan: Plan, arguments: list[str], message: str) -> None:
    done = plan("--photos-a-day", "1000", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.output


def test_no_simulation_is_needed(plan: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "simpy", None)
    assert plan("--photos-a-day", "1000").exit_code == 0

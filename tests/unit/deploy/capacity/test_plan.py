"""The plan: its arithmetic is what it shows, and the worked examples of docs/scaling.md come out by hand."""

from __future__ import annotations

import re
from dataclasses import replace
from math import ceil, log
from pathlib import Path

import pytest

from benchmarks.machine import read_results
from cutstream.errors import InvalidOption
from deploy.capacity.examples import EXAMPLES
from deploy.capacity.fitting import as_toml, fit
from deploy.capacity.latency import waiting_probability
from deploy.capacity.measured import FILE, Line, Measured, load, parse, tomllib
from deploy.capacity.plan import Choices, Demand, make_plan
from deploy.capacity.prices import EXAMPLE, Prices, read_prices
from deploy.capacity.sheet import Sheet, show

ROUND = Measured(
    source="round numbers",
    stages={"fetch": Line(1, 0), "refine": Line(4, 2), "store": Line(0, 0)},
    decode=Line(2, 4),
    encode={"png": Line(0, 6), "webp": Line(10, 70)},
    loop_ms=5,
    locked_share=0.5,
    inference_ms={"fast": 12},
    inference_source={"fast": "round numbers"},
    broker_ms=4,
    client_ms=1,
    transaction_ms=40,
    results_per_transaction=8,
    transaction_broker_ms=8,
    transaction_worker_ms=4,
    source_bytes=Line(0, 100_000),
    output_bytes={"png": Line(0, 500_000), "webp": Line(0, 100_000)},
    request_bytes=200,
    result_bytes=800,
    worker_mb=500,
    triton_mb=300,
)
PRICES = Prices("EUR", core_hour=0.05, gpu_hour=1, storage_gb_month=0.02, requests_1000=0.01, egress_gb=0.1)


def calculate(formula: str) -> float:
    """Do what a person with a calculator does."""
    text = formula.replace(",", "").replace("×", "*").replace("÷", "/").replace("−", "-")
    text = re.sub(r"(min|max)\((\S+) ", r"\1(\2, ", text)  # the comma between two numbers went, too
    text = text.replace("⌈", "ceil(").replace("⌉", ")")
    return float(eval(text, {"ceil": ceil, "min": min, "max": max, "ln": log}))


def check_by_hand(sheet: Sheet) -> None:
    for _, steps in sheet:
        for step in steps:
            if step.formula:
                assert calculate(step.formula) == pytest.approx(step.value, rel=1e-3, abs=1e-9), step


def test_a_small_shop_by_hand() -> None:
    demand = Demand(36_000, megapixels=10, hours=10, peak=5)
    values = make_plan(demand, ROUND, prices=PRICES).values()
    assert values["peak_rate"] == 36_000 / 36_000 * 5
    assert values["worker_ms"] == 5 + 1 + (4 + 20) + 60
    assert values["decoder_ms"] == 42
    assert values["locked_ms"] == 5 + 85 / 2
    assert values["rate_by_cores"] == pytest.approx(2000 / 132, rel=1e-3)
    assert values["rate_by_lock"] == pytest.approx(1000 / 47.5, rel=1e-3)
    both = 15.15 * (1 - 0.2 * 15.15 / 21.05)
    assert values["rate_planned"] == pytest.approx(both * 0.7, rel=1e-3)
    assert values["workers"] == ceil(5 / (both * 0.7)) + 1 == 2
    assert values["partitions"] == 8
    assert values["triton_servers"] == ceil(5 * 0.012 / 0.7 / 2) + 1 == 2
    assert values["brokers"] == 3
    assert values["broker_mb_per_s"] == 5 * 1000 * 3 / 1e6
    assert values["out_mbit_per_s"] == 5 * 5 * 8
    assert values["stored_gb"] == 36_000 * 5 * 30 / 1000
    cores = ((2 * 2 + 2 * 2) * 10 + 3 * 24) * 30 * 0.05
    assert values["cost_cores"] == cores == 228
    assert values["cost"] == cores + 5400 * 0.02 + 36 * 30 * 2 * 0.01 + 5400 * 0.1
    assert values["cost_1000"] == pytest.approx(values["cost"] / 1080, rel=1e-3)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_worked_examples_can_be_checked_by_hand(name: str) -> None:
    example = EXAMPLES[name]
    check_by_hand(make_plan(example.demand, load(), example.choices, read_prices(EXAMPLE)))


@pytest.mark.parametrize("photos", [1, 999, 50_000, 1e6, 1e9])
@pytest.mark.parametrize("output", ["png", "webp"])
@pytest.mark.parametrize("gpu_ms", [None, 2.5])
def test_every_step_is_what_it_shows(photos: float, output: str, gpu_ms: float | None) -> None:
    demand = Demand(photos, megapixels=3.7, output=output, outputs=2, deadline_s=20)
    sheet = make_plan(demand, load(), Choices(gpu_ms=gpu_ms), PRICES)
    check_by_hand(sheet)
    assert ("gpus" in sheet.values()) == (gpu_ms is not None)


def test_the_lock_of_the_interpreter_decides_where_a_worker_has_many_cores() -> None:
    demand = Demand(86_400 * 10, peak=1, megapixels=10)
    few, many = (make_plan(demand, ROUND, Choices(cores_per_worker=cores, spare=0)).values() for cores in (2, 16))
    assert 0.8 * few["rate_by_cores"] < few["rate_most"] < few["rate_by_cores"] < few["rate_by_lock"]
    assert 0.95 * many["rate_by_lock"] < many["rate_most"] < many["rate_by_lock"] < many["rate_by_cores"]


def test_partitions_are_enough_for_twice_the_workers() -> None:
    for photos in (1e5, 3e6, 7e6, 2e7):
        values = make_plan(Demand(photos, peak=1), ROUND).values()
        partitions = int(values["partitions"])
        assert partitions >= 2 * values["workers"]
        assert partitions & (partitions - 1) == 0


def test_a_deadline_takes_more_workers_and_one_that_nobody_can_meet_is_refused() -> None:
    demand = Demand(86_400 * 100, megapixels=10, peak=1)
    free = make_plan(demand, ROUND, Choices(utilisation=0.95)).values()
    tight = make_plan(replace(demand, deadline_s=1.1), ROUND, Choices(utilisation=0.95)).values()
    assert tight["workers"] > free["workers"]
    assert tight["p99_s"] <= 1.1 < free["p99_s"]
    with pytest.raises(InvalidOption, match=r"--deadline 0\.2: even idle workers need"):
        make_plan(replace(demand, deadline_s=0.2), ROUND)


def test_what_nobody_has_measured_is_refused_unless_a_gpu_does_it() -> None:
    with pytest.raises(InvalidOption, match="--profile hair: only fast has been measured"):
        make_plan(Demand(1000, profile="hair"), ROUND)
    assert make_plan(Demand(1000, profile="hair"), ROUND, Choices(gpu_ms=30)).values()["gpus"] == 2


def test_more_puts_than_one_prefix_takes_are_pointed_out() -> None:
    notes = {
        step.key: step.note for _, steps in make_plan(Demand(86_400 * 2000, peak=1, outputs=2), ROUND) for step in steps
    }
    assert "beyond the 3,500/s" in notes["puts_per_s"]
    assert notes["gets_per_s"] == ""


@pytest.mark.parametrize(("servers", "busy", "chance"), [(1, 0.3, 0.3), (2, 0.5, 1 / 3), (4, 0.75, 0.5094)])
def test_erlangs_formula(servers: int, busy: float, chance: float) -> None:
    assert waiting_probability(servers, busy) == pytest.approx(chance, rel=1e-3)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (50_000.0, "50,000"),
        (1.38889, "1.389"),
        (0.012345, "0.01235"),
        (12_345.6, "12,346"),
        (4_294.4, "4,294"),
        (0.5, "0.5"),
        (0.0, "0"),
    ],
)
def test_numbers_are_shown_as_they_are_calculated_with(value: float, text: str) -> None:
    assert show(value) == text


def test_measured_toml_is_what_the_recorded_runs_give() -> None:
    written = as_toml(fit(read_results("service_times"), read_results("throughput")))
    assert FILE.read_text() == written, "run `python -m benchmarks.service_times --from-results`, then `make docs`"
    assert parse(tomllib.loads(written)) == load()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("currency =", "is not TOML"),
        ("core = 1", "core_hour is missing.*core is unknown"),
        (EXAMPLE.read_text().replace("0.04", '"cheap"'), "core_hour = 'cheap' must be a number of 0 or more"),
        (EXAMPLE.read_text().replace("0.04", "-1"), "core_hour = -1 must be a number of 0 or more"),
    ],
)
def test_wrong_prices_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "prices.toml").write_text(text)
    with pytest.raises(InvalidOption, match=message):
        read_prices(tmp_path / "prices.toml")


def test_prices_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="No such file"):
        read_prices(tmp_path / "none.toml")


def test_what_a_transaction_costs_is_told_from_a_calm_run() -> None:
    line = dict(read_results("service_times")[-1])
    line["whole_core_ms_by_process"] = {**line["whole_core_ms_by_process"], "kafka": 4.0, "worker": 33.0}
    line["results_per_transaction"] = 5.0
    line["calm_core_ms_by_process"] = {"kafka": 12.0, "worker": 32.0}
    line["calm_results_per_transaction"] = 1.0
    figures = fit([line])["figures"]
    assert figures["transaction_broker_ms"] == 10.0  # 8 ms more for 0.8 transactions more
    assert figures["transaction_worker_ms"] == 0.0  # less is chance


def test_each_further_output_is_encoded_and_stored() -> None:
    one, three = (make_plan(Demand(36_000, megapixels=10, outputs=n), ROUND).values()["worker_ms"] for n in (1, 3))
    assert three == one + 2 * 60


def test_a_deadline_that_is_too_short_names_a_time_that_is_enough() -> None:
    with pytest.raises(InvalidOption) as refused:
        make_plan(Demand(36_000, deadline_s=0.1), ROUND)
    (needed,) = re.findall(r"need ([0-9.]+) s", str(refused.value))
    make_plan(Demand(36, deadline_s=float(needed)), ROUND)

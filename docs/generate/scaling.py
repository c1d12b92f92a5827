"""The page about capacity: the parts that come from the plan, from measurements and from the simulation's runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.capacity.examples import EXAMPLES, Example
from deploy.capacity.measured import Line, Measured, load
from deploy.capacity.plan import BROKER_MB_PER_S, GETS_PER_S, PUTS_PER_S, make_plan
from deploy.capacity.prices import EXAMPLE, read_prices
from deploy.capacity.sheet import show
from docs.generate.pages import table

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
_WITHIN = 0.1
_MOST_OTHERS = 0.03  # of the machine, as in benchmarks/capacity.py
TEMPLATE = Path(__file__).with_name("scaling.md")


def scaling_page() -> str:
    """Return the page: the template beside this module, with its parts filled in."""
    measured = load()
    return _fill(
        TEMPLATE.read_text(encoding="utf-8"),
        {
            "inputs": _inputs(measured),
            "source": measured.source,
            "examples": "\n".join(map(_example, EXAMPLES.values())),
            "prices": EXAMPLE.read_text(encoding="utf-8").strip(),
            "planned": _planned(),
            **_most(),
            "replay": _replay(),
            "replay_beyond": _beyond({line["commit"]: line["figures"] for line in _recorded("replay")}),
            "capacity": _capacity(),
            "capacity_beyond": _beyond({f"{n} worker{'s' * (n > 1)}": line["figures"] for n, line in _quiet().items()}),
            "scaler": _scaler(),
            "chart_off": str(_off_by("keda")),
            "growth_off": str(_off_by("keda_with_growth")),
            "followed": _followed(),
            "units": _scale("units", ("units", "partitions", "rate")),
            "partitions": _scale("partitions", ("partitions", "rate", "lag", "p50_ms", "p99_ms", "transactions_per_s")),
            "brokers": _scale("brokers", ("broker_cores", "rate", "lag", "p50_ms", "p99_ms")),
            "broker_mb": show(BROKER_MB_PER_S),
            "gets": show(GETS_PER_S),
            "puts": show(PUTS_PER_S),
            **_limits(measured),
        },
    )


def _fill(text: str, parts: Mapping[str, str]) -> str:
    for name, part in parts.items():
        assert f"{{{{{name}}}}}" in text, f"{TEMPLATE} has no place for {name}"
        text = text.replace(f"{{{{{name}}}}}", part)
    assert "{{" not in text, f"{TEMPLATE} names a part that is not there"
    return text


def _inputs(measured: Measured) -> str:
    rows = [(f"the worker: `{name}`", *_pair(line), "core-ms") for name, line in measured.stages.items()]
    rows += [
        (f"the worker: `encode` as {name.upper()}", *_pair(line), "core-ms") for name, line in measured.encode.items()
    ]
    rows += [
        ("the worker beside its stages", show(measured.loop_ms), "", "core-ms"),
        ("a decoder process", *_pair(measured.decode), "core-ms"),
        *((f"Triton, profile `{name}`", show(ms), "", "core-ms") for name, ms in measured.inference_ms.items()),
        (
            f"the broker, with {show(measured.results_per_transaction)} results in a transaction",
            show(measured.broker_ms),
            "",
            "core-ms",
        ),
        ("of a transaction, in the broker", show(measured.transaction_broker_ms), "", "core-ms"),
        ("of a transaction, in the worker", show(measured.transaction_worker_ms), "", "core-ms"),
        ("time of a transaction", show(measured.transaction_ms), "", "ms"),
        ("the photo, JPEG of quality 90", *_pair(measured.source_bytes), "bytes"),
        *((f"the cutout as {name.upper()}", *_pair(line), "bytes") for name, line in measured.output_bytes.items()),
        ("request and result in Kafka", show(measured.request_bytes + measured.result_bytes), "", "bytes"),
    ]
    return table(("for a photo", "fixed", "and per megapixel", "unit"), rows)


def _pair(line: Line) -> tuple[str, str]:
    return show(line.fixed), show(line.per_megapixel)


def _example(example: Example) -> str:
    sheet = make_plan(example.demand, load(), example.choices, read_prices(EXAMPLE))
    rows: list[tuple[str, str, str, str]] = []
    for title, steps in sheet:
        rows.append((f"**{title}**", "", "", ""))
        rows += [(step.what, f"{show(step.value)} {step.unit}".strip(), step.formula, step.note) for step in steps]
    head = f"### {example.title}\n\n{example.told}\n\n```sh\n{example.command} --prices example-prices.toml\n```\n"
    return f"{head}\n{table(('', 'value', 'arithmetic', ''), rows)}"


def _planned() -> str:
    rows = [
        (
            EXAMPLES[line["example"]].title,
            *(" / ".join(map(show, line[name])) for name in ("p50_s", "p99_s")),
        )
        for line in _recorded("scale")
        if line["scenario"] == "examples"
    ]
    return table(("", "p50 in s", "p99 in s"), rows)


def _most() -> dict[str, str]:
    lines = [line for line in _recorded("scale") if line["scenario"] == "examples"]
    planned, simulated = ([show(line["most_rate"][n]) for line in lines] for n in (0, 1))
    return {"most": _listed(simulated), "planned_most": _listed(planned)}


def _listed(texts: list[str]) -> str:
    return f"{', '.join(texts[:-1])} and {texts[-1]}"


def _recorded(name: str) -> list[dict[str, Any]]:
    file = RESULTS / f"{name}.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def _off(pair: Iterable[float]) -> str:
    real, ours = pair
    return f"{show(real)} / {show(ours)} ({(ours / real - 1) * 100:+.0f} %)"


def _replay() -> str:
    rows = []
    for line in _recorded("replay"):
        figures = [
            _off(line["figures"][name]) if name in line["figures"] else "" for name in ("rate", "p50_ms", "p95_ms")
        ]
        rows.append((line["commit"], f"`{line['profile']}`", line["machine"]["cpu"], *figures))
    return table(("commit", "profile", "2 cores of", "photos/s", "p50 in ms", "p95 in ms"), rows)


_FIGURES = {
    "rate": "photos/s",
    "p50_ms": "p50",
    "p95_ms": "p95",
    "p99_ms": "p99",
    "lag": "the mean lag",
    "lag_most": "the highest lag",
    "lag_apart": "the distance of the curves of the lag",
}


def _beyond(runs: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Say which figures are more than 10 % off."""
    found = []
    for run, figures in runs.items():
        for name, (real, ours) in figures.items():
            off = ours / real if name == "lag_apart" else abs(ours / real - 1)
            found += [f"{_FIGURES[name]} of {run}"] if off > _WITHIN else []
    if not runs:
        return ""
    return f"More than 10 % off: {', '.join(found)}." if found else "All are within 10 %."


def _quiet() -> dict[int, dict[str, Any]]:
    """Return the last step load of each number of workers that counts."""
    lines = [line for line in _recorded("capacity") if line["others_share_of_machine"] <= _MOST_OTHERS]
    return dict(sorted({line["workers"]: line for line in lines}.items()))


def _capacity() -> str:
    if not (lines := _quiet()):
        return "It has not been run on a quiet machine yet, so this page cannot say that the simulation passes it.\n"
    rows = []
    for workers, line in lines.items():
        figures = line["figures"]
        apart = figures["lag_apart"]
        rows.append(
            (
                str(workers),
                line["commit"],
                *(_off(figures[name]) for name in ("rate", "p50_ms", "p99_ms", "lag", "lag_most")),
                f"{apart[1] / apart[0] * 100:.0f} %",
            )
        )
    columns = ("workers", "commit", "photos/s", "p50 in ms", "p99 in ms", "mean lag", "most lag", "curves apart")
    return table(columns, rows)


def _scaler() -> str:
    names = (
        "workers",
        "at_s",
        "lag",
        "answered_per_s",
        "coming_per_s",
        "oldest_s",
        "wanted",
        "keda",
        "keda_with_growth",
    )
    rows = [[show(line[name]) for name in names] for line in _recorded("scaler") if "keda" in line]
    columns = (
        "workers",
        "after s",
        "lag",
        "answered/s",
        "coming/s",
        "oldest in s",
        "simulation",
        "by answers alone",
        "chart",
    )
    return table(columns, rows)


def _off_by(expression: str) -> int:
    """Return by how many workers an expression was off at most."""
    return max((abs(line[expression] - line["wanted"]) for line in _recorded("scaler") if "keda" in line), default=0)


def _followed() -> str:
    rows = [
        (
            "the chart's" if line["with_growth"] else "by answers alone",
            *(show(line[name]) for name in ("wanted", "enough_after_s", "most_workers", "longest_wait_s")),
        )
        for line in _recorded("scaler")
        if "with_growth" in line
    ]
    return table(("expression", "workers wanted", "there after s", "most workers", "longest wait in s"), rows)


def _scale(scenario: str, columns: tuple[str, ...]) -> str:
    names = {
        "rate": "photos/s",
        "lag": "lag after 8 s",
        "p50_ms": "p50 in ms",
        "p99_ms": "p99 in ms",
        "transactions_per_s": "transactions/s",
        "broker_cores": "cores of the brokers",
    }
    rows = [[show(line[name]) for name in columns] for line in _recorded("scale") if line["scenario"] == scenario]
    return table([names.get(name, name) for name in columns], rows)


def _limits(measured: Measured) -> dict[str, str]:
    """Return the numbers about 1,000 photos a second and a billion photos that the text calculates with."""
    small, large = (measured.output_bytes["png"].at(size) / 1e6 for size in (1.5, 12))
    each = measured.request_bytes + measured.result_bytes
    day_s = 86_400
    return {
        "png_small_mb": show(small),
        "png_large_mb": show(large),
        "gbit_small": show(1000 * small * 8 / 1000),
        "gbit_large": show(1000 * large * 8 / 1000),
        "link_small": show(10_000 / 8 / small),
        "link_large": show(10_000 / 8 / large),
        "broker_ms": show(measured.broker_ms),
        "broker_cores": show(1000 * measured.broker_ms / 1000 * 3),
        "record_bytes": show(each),
        "kafka_mb": show(1000 * each * 3 / 1e6),
        "days": show(1e9 / 1000 / day_s),
        "week_tb": show(7 * day_s * 1000 * each * 3 / 1e12),
        "png_pb": show(1e9 * small / 1e9),
        "locked_ms": show(measured.locked_ms(1.5, "png")),
        "locked_rate": show(1000 / measured.locked_ms(1.5, "png")),
        "core_days": show(
            1e9
            * (measured.worker_ms(1.5, "png") + measured.decode.at(1.5) + measured.inference_ms["fast"])
            / 1000
            / day_s
        ),
    }

"""A short run with a fixed seed: faults of different kinds under load lose, double, mix up and strand nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.chaos.report import summarise
from tests.e2e.chaos.run import Options, run_chaos

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.kafka,
    pytest.mark.triton,
    pytest.mark.timeout(400),
    # kafka-python leaves sockets to the garbage collector when the broker dies.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

KINDS = (
    "worker killed",
    "worker lost",
    "triton killed",
    "kafka killed",
    "store answers 503",
    "topics grow",
    "disk full",
)


def test_short_run(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    state = pytestconfig.rootpath / ".state"
    options = Options(requests=400, seed=1, faults=len(KINDS), photos=8, kinds=KINDS)
    outcome = run_chaos(options, tmp_path, state / "tools", state / "jars")
    assert not outcome.violations, summarise(outcome)
    assert len(outcome.evidence.requests) >= options.requests
    assert any(planned.recipe is None for planned in outcome.evidence.requests.values())

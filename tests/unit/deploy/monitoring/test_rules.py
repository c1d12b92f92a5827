"""Each alert fires in its case and not beside it, in Prometheus's own test runner."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from cutstream.metrics import DEFINITIONS
from deploy.monitoring.files import FOLDER
from deploy.monitoring.rules import ALERTS, RECORDINGS, Alert
from tests.unit.deploy.monitoring.alert_cases import CASES, Case

RULES = FOLDER / "prometheus" / "rules.yml"
RUNBOOK = (FOLDER.parent / "docs" / "runbook.md").read_text(encoding="utf-8")
PROMTOOL = shutil.which("promtool")
REASON = "promtool is not installed (Debian's package prometheus)"


def promtool(*arguments: str) -> None:
    assert PROMTOOL
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def parse(labels: str) -> dict[str, str]:
    return dict(re.findall(r'(\w+)="([^"]*)"', labels))


def promtool_test(alert: Alert, case: Case, fires: bool) -> dict:
    expected = {
        "exp_labels": {"severity": alert.severity} | parse(case.labels),
        "exp_annotations": {"summary": alert.summary, "runbook_url": alert.runbook},
    }
    return {
        "name": f"{alert.name} {'fires' if fires else 'does not fire'}",
        "interval": "1m",
        "input_series": [
            {"series": series, "values": values} for series, values in (case.fires if fires else case.quiet).items()
        ],
        "alert_rule_test": [
            {"eval_time": f"{case.minutes}m", "alertname": alert.name, "exp_alerts": [expected] if fires else []}
        ],
    }


def test_every_alert_has_a_case() -> None:
    assert set(CASES) == {alert.name for alert in ALERTS}
    for case in CASES.values():
        assert case.fires.keys() == case.quiet.keys()
        assert case.fires != case.quiet


@pytest.mark.prometheus
@pytest.mark.skipif(PROMTOOL is None, reason=REASON)
def test_the_files_are_valid() -> None:
    promtool("check", "config", str(FOLDER / "prometheus" / "prometheus.yml"))
    promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))


@pytest.mark.prometheus
@pytest.mark.skipif(PROMTOOL is None, reason=REASON)
@pytest.mark.parametrize("fires", [True, False], ids=["fires", "quiet"])
@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_fires_in_its_case_and_not_beside_it(alert: Alert, fires: bool, tmp_path: Path) -> None:
    content = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [promtool_test(alert, CASES[alert.name], fires)],
    }
    file = tmp_path / "test.yml"
    file.write_bytes(msgspec.yaml.encode(content))
    promtool("test", "rules", str(file))


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_has_a_section_in_the_runbook_that_says_what_to_do(alert: Alert) -> None:
    path, _, anchor = alert.runbook.partition("#")
    assert path == "docs/runbook.md"
    headings = re.findall(r"^#+ (.+)$", RUNBOOK, re.MULTILINE)
    assert anchor in {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}
    section = RUNBOOK.partition(f"### {alert.name}\n")[2].partition("\n#")[0]
    for part in ("**Means:**", "**Confirm:**", "**Do:**"):
        assert part in section, f"{alert.name} does not say {part}"
    assert alert.summary.endswith(".")


def test_rules_use_metrics_that_exist() -> None:
    known = {definition.name for definition in DEFINITIONS} | {rule.name for rule in RECORDINGS}
    for rule in (*ALERTS, *RECORDINGS):
        for name in re.findall(r"\bcutstream[_:]\w+(?::\w+)*", rule.expression):
            assert re.sub(r"_(sum|count|bucket)$", "", name) in known, f"{rule.name}: {name}"


def test_the_runbook_has_no_alert_that_is_gone() -> None:
    assert set(re.findall(r"^### (Cutstream\w+)$", RUNBOOK, re.MULTILINE)) == {alert.name for alert in ALERTS}

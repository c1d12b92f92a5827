"""The recording rules and the alerts. docs/runbook.md has a section for each alert.

The rules name no topic and no model, so they hold for any settings. Workers are scraped as job `cutstream`, gateways
as job `gateway`, Triton as job `triton` (deploy/prometheus/prometheus.yml). Gateways have some of the workers' metrics,
such as `cutstream_build_info`: what counts workers names their job. Some things have no alert, because no metric tells
them: docs/runbook.md#what-no-alert-tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

RUNBOOK = "docs/runbook.md"


@dataclass(frozen=True)
class Recording:
    name: str
    expression: str


@dataclass(frozen=True)
class Alert:
    """`lasts` is how long the expression has to hold. `critical`: act now; `warning`: act today; `info`: look."""

    name: str
    severity: Literal["critical", "warning", "info"]
    summary: str
    expression: str
    lasts: str = "0m"

    @property
    def runbook(self) -> str:
        return f"{RUNBOOK}#{self.name.lower()}"


def _appeared(counter: str, by: str, window: str) -> str:
    """Return how much a counter has grown, also if its series has appeared meanwhile, which `increase` does not see."""
    now, before = f"sum by ({by}) ({counter})", f"sum by ({by}) ({counter} offset {window})"
    return f"{now} - ({before} or {now} * 0)"


def _answers(labels: str = "") -> str:
    """Return a gateway's answers a second to its clients. Calls of monitoring, such as /readyz, do not count."""
    selected = ",".join(filter(None, ('call!~"health|metrics"', labels)))
    return f"sum by (instance) (rate(cutstream_gateway_calls_total{{{selected}}}[5m]))"


RECORDINGS = (
    Recording("cutstream:requests:rate5m", "sum by (status) (rate(cutstream_requests_total[5m]))"),
    Recording("cutstream:lag:sum", "sum(cutstream_consumer_lag_records)"),
    # A request moves on if it is answered or goes to the retry topic, where it waits on purpose.
    Recording(
        "cutstream:progress:rate5m",
        "sum(rate(cutstream_requests_total[5m])) + (sum(rate(cutstream_postponed_total[5m])) or vector(0))",
    ),
    Recording("cutstream:backlog:sum", "sum(cutstream_backlog_records)"),
    Recording("cutstream:drain_seconds", "cutstream:backlog:sum / (sum(cutstream:requests:rate5m) > 0)"),
    Recording(
        "cutstream:failed:ratio5m",
        '(cutstream:requests:rate5m{status="failed"} or on () vector(0)) / on () (sum(cutstream:requests:rate5m) > 0)',
    ),
    # How many photos are in a stage on average: they gather at the bottleneck.
    Recording(
        "cutstream:stage_photos:mean5m",
        "sum by (stage) (avg_over_time(cutstream_stage_photos[5m]))",
    ),
)

ALERTS = (
    Alert(
        "CutstreamWorkerAway",
        "critical",
        "Prometheus cannot read a worker's metrics.",
        'up{job="cutstream"} == 0',
        "1m",
    ),
    Alert(
        "CutstreamNoWorker",
        "critical",
        "No worker's metrics are read.",
        'absent(cutstream_build_info{job="cutstream"})',
        "2m",
    ),
    Alert(
        "CutstreamWorkerHalted",
        "critical",
        "A worker has halted and waits for an operator.",
        "cutstream_halted == 1",
    ),
    Alert(
        "CutstreamWorkerNotReady",
        "warning",
        "A check of a worker's /readyz has been false for two minutes.",
        'cutstream_ready{check!~"triton|store|running"} == 0',
        "2m",
    ),
    Alert(
        "CutstreamLoopStill",
        "critical",
        "A worker's main loop stands still.",
        "time() - (cutstream_loop_heartbeat_seconds > 0) > 60 unless on (instance) cutstream_halted == 1",
    ),
    Alert(
        "CutstreamTritonAway",
        "critical",
        "Triton does not answer the workers.",
        'cutstream_ready{check="triton"} == 0',
        "1m",
    ),
    Alert(
        "CutstreamStoreAway",
        "critical",
        "Outputs cannot be stored: the store is away or full, or refuses.",
        'cutstream_ready{check="store"} == 0',
        "1m",
    ),
    Alert(
        "CutstreamNoProgress",
        "critical",
        "Requests wait, and none has been answered for five minutes.",
        "cutstream:lag:sum > 0 unless cutstream:progress:rate5m > 0",
        "5m",
    ),
    Alert(
        "CutstreamPartitionStranded",
        "critical",
        "A partition has stood still for ten minutes while others move on.",
        "cutstream_consumer_lag_records > 0 and changes(cutstream_answered_offset[10m]) == 0 "
        "and on () cutstream:progress:rate5m > 0",
        "2m",
    ),
    Alert(
        "CutstreamPartitionUnreadable",
        "critical",
        "A record of a partition cannot be read, and what is behind it waits.",
        "cutstream_unreadable_partitions > 0",
        "2m",
    ),
    Alert(
        "CutstreamPartitionStalled",
        "info",
        "A partition delivered nothing, and the worker has read it again.",
        "increase(cutstream_stalled_partitions_total[15m]) > 0",
    ),
    Alert(
        "CutstreamLagGrows",
        "warning",
        "The backlog grows, and it would take more than fifteen minutes to work it off.",
        "deriv(cutstream:backlog:sum[10m]) > 0 and cutstream:drain_seconds > 900",
        "10m",
    ),
    Alert(
        "CutstreamBacklogOld",
        "warning",
        "The oldest request was written more than fifteen minutes ago and has no result.",
        "max(cutstream_oldest_request_age_seconds) > 900",
        "5m",
    ),
    Alert(
        "CutstreamDeadlinesTight",
        "warning",
        "More than a tenth of the requests with a deadline use three quarters of their time.",
        '1 - sum(rate(cutstream_deadline_used_ratio_bucket{le="0.75"}[5m])) '
        "/ (sum(rate(cutstream_deadline_used_ratio_count[5m])) > 0) > 0.1",
        "5m",
    ),
    Alert(
        "CutstreamRequestsExpire",
        "warning",
        "Requests have missed their deadlines in the last fifteen minutes.",
        _appeared('cutstream_requests_total{status="expired"}', "status", "15m") + " > 0",
    ),
    Alert(
        "CutstreamRequestStuck",
        "warning",
        "A worker read a request more than ten minutes ago and has not answered it.",
        "cutstream_oldest_request_seconds > 600",
    ),
    Alert(
        "CutstreamErrorShare",
        "warning",
        "More than a twentieth of the requests fail.",
        "cutstream:failed:ratio5m > 0.05",
        "5m",
    ),
    Alert(
        "CutstreamDeadLetters",
        "info",
        "Requests have failed in the last fifteen minutes and left dead letters.",
        _appeared('cutstream_requests_total{status="failed"}', "code", "15m") + " > 0",
    ),
    Alert(
        "CutstreamSourcesAway",
        "info",
        "Hosts or buckets that requests name have not answered for fifteen minutes.",
        "cutstream_silent_sources > 0",
        "15m",
    ),
    Alert(
        "CutstreamInDoubt",
        "warning",
        "A worker holds requests back: its network or its settings may be at fault.",
        "cutstream_in_doubt == 1",
        "5m",
    ),
    Alert(
        "CutstreamTransactionsAborted",
        "warning",
        "More than a tenth of the transactions are refused, so work is done again.",
        'sum(rate(cutstream_commits_total{outcome="refused"}[10m])) / sum(rate(cutstream_commits_total[10m])) > 0.1',
        "10m",
    ),
    Alert(
        "CutstreamGroupUnsettled",
        "warning",
        "Partitions keep moving between workers.",
        'sum(increase(cutstream_rebalances_total[15m])) / count(cutstream_build_info{job="cutstream"}) > 6',
        "5m",
    ),
    Alert(
        "CutstreamDecodersDie",
        "info",
        "Decoders crash or hang on photos.",
        "increase(cutstream_decoder_restarts_total[15m]) > 5",
    ),
    Alert(
        "CutstreamMemoryNearBudget",
        "warning",
        "Photos wait for memory: the budget has been nearly used up for ten minutes.",
        "avg_over_time((cutstream_decoded_bytes / cutstream_memory_budget_bytes)[5m:]) > 0.9",
        "10m",
    ),
    Alert(
        "CutstreamDeviceMemoryLow",
        "warning",
        "The GPU's memory is nearly used up.",
        'cutstream_device_memory_bytes{kind="used"} '
        '/ ignoring (kind) cutstream_device_memory_bytes{kind="total"} > 0.95',
        "10m",
    ),
    Alert(
        "CutstreamGatewayAway",
        "critical",
        "Prometheus cannot read a gateway's metrics.",
        'up{job="gateway"} == 0',
        "1m",
    ),
    Alert(
        "CutstreamGatewayNotReading",
        "critical",
        "A gateway cannot read results, so it refuses calls.",
        "cutstream_gateway_reading == 0",
        "1m",
    ),
    Alert(
        "CutstreamGatewayErrors",
        "warning",
        "More than a twentieth of a gateway's answers are errors of the deployment (5xx).",
        _answers('status=~"5.."') + f" / ({_answers()} > 0) > 0.05",
        "5m",
    ),
    Alert(
        "CutstreamGatewayRefuses",
        "warning",
        "A gateway has refused calls for ten minutes because they are more than it and the workers can do.",
        'sum by (instance) (rate(cutstream_gateway_refused_total{reason=~"wait|calls|photos|memory"}[5m])) > 0',
        "10m",
    ),
    Alert(
        "CutstreamGatewayWebhooksFail",
        "warning",
        "More than half of a gateway's attempts to deliver a webhook fail.",
        'sum by (instance) (rate(cutstream_gateway_webhooks_total{outcome!="delivered"}[15m])) '
        "/ (sum by (instance) (rate(cutstream_gateway_webhooks_total[15m])) > 0) > 0.5",
        "10m",
    ),
    Alert(
        "CutstreamGatewayWebhooksGivenUp",
        "info",
        "Webhooks have been given up in the last fifteen minutes: their receivers were not told.",
        _appeared('cutstream_gateway_webhooks_total{outcome="given_up"}', "instance", "15m") + " > 0",
    ),
)


def rules() -> dict[str, Any]:
    """Return the content of Prometheus's file of rules."""
    recordings = [{"record": rule.name, "expr": rule.expression} for rule in RECORDINGS]
    alerts = [
        {
            "alert": alert.name,
            "expr": alert.expression,
            "for": alert.lasts,
            "labels": {"severity": alert.severity},
            "annotations": {"summary": alert.summary, "runbook_url": alert.runbook},
        }
        for alert in ALERTS
    ]
    return {"groups": [{"name": "cutstream", "rules": recordings}, {"name": "cutstream-alerts", "rules": alerts}]}

"""What is failing, and what is waited for?"""

from __future__ import annotations

from deploy.monitoring.dashboards.panels import Board, Query, bars, lines

W = '{instance=~"$instance"}'
_FAILED = 'cutstream_requests_total{instance=~"$instance",status="failed"}'


def _rate(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}{W}[$__rate_interval]))"


RELIABILITY = Board(
    "Reliability",
    "What is failing, and what is waited for?",
    (
        (
            lines(
                "Checks of /readyz",
                "1 while a check is true on every worker. The runbook says what each means and what to do.",
                "none",
                Query(f"min by (check) (cutstream_ready{W})", "{{check}}"),
                width=12,
                maximum=1,
                decimals=0,
            ),
            lines(
                "Firing alerts",
                "Alerts that fire. Each has a section in the runbook.",
                "none",
                Query(
                    'sum by (alertname) (ALERTS{alertname=~"Cutstream.*",alertstate="firing"})',
                    "{{alertname}}",
                ),
                width=12,
                decimals=0,
                empty="no alert fires",
            ),
        ),
        (
            lines(
                "Failed requests by code",
                "Requests a second that end as `failed`. docs/errors.md explains the codes.",
                "reqps",
                Query(f"sum by (code) (rate({_FAILED}[$__rate_interval]))", "{{code}}"),
                empty="none has failed",
            ),
            bars(
                "Dead letters written since the start",
                "Requests that have failed, by code, since each worker's start. `cutstream dead-letters list` shows "
                "those that are open.",
                "short",
                Query(f"sum by (code) ({_FAILED})", "{{code}}"),
                decimals=0,
                empty="none",
            ),
            lines(
                "Photos that wait, by reason",
                "Photos that wait for something that is away or full. Restore what the reason names; none is lost.",
                "short",
                Query(f"sum by (reason) (cutstream_waiting{W})", "{{reason}}"),
                empty="none has ever waited",
            ),
        ),
        (
            lines(
                "Retries by reason",
                "Attempts a second that failed because something was not ready.",
                "reqps",
                Query(_rate("cutstream_retries_total", "stage, reason"), "{{stage}}: {{reason}}"),
                empty="none",
            ),
            lines(
                "Moved to the retry topic",
                "Requests a second that were moved to the retry topic because their own source is away, and deliveries "
                "that were not even tried.",
                "reqps",
                Query(_rate("cutstream_postponed_total", "code"), "postponed: {{code}}"),
                Query(_rate("cutstream_untried_total", "reason"), "untried: {{reason}}"),
                empty="none",
            ),
            lines(
                "Doubts and silent sources",
                "Hosts and buckets that do not answer, and 1 while a worker holds requests back because its network or "
                "its settings may be at fault.",
                "short",
                Query(f"max(cutstream_silent_sources{W})", "silent sources"),
                Query(f"max by (about) (cutstream_in_doubt{W})", "in doubt: {{about}}"),
            ),
        ),
        (
            lines(
                "Transactions",
                "Transactions a second. `refused` ones are normal during a rebalance; their work is done again.",
                "ops",
                Query(_rate("cutstream_commits_total", "outcome"), "{{outcome}}"),
            ),
            lines(
                "Transaction, 95 %",
                "Time of one transaction. If it takes seconds, look at the brokers.",
                "s",
                Query(
                    "histogram_quantile(0.95, "
                    f"sum by (le) (rate(cutstream_commit_duration_seconds_bucket{W}[$__rate_interval])))",
                    "95%",
                ),
            ),
            lines(
                "Rebalances and discarded outcomes",
                "Changes of a worker's partitions in the last five minutes, and finished results that were thrown away "
                "because of one. Both are normal when workers come and go.",
                "short",
                Query(f"sum by (change) (increase(cutstream_rebalances_total{W}[5m]))", "partitions {{change}}"),
                Query(f"sum(increase(cutstream_discarded_outcomes_total{W}[5m]))", "outcomes discarded"),
                decimals=0,
            ),
        ),
        (
            lines(
                "Lag by partition",
                "Requests without a result in each partition. If one stands while others move, something holds it.",
                "short",
                Query(f"sum by (topic, partition) (cutstream_consumer_lag_records{W})", "{{topic}} {{partition}}"),
                width=12,
            ),
            lines(
                "Partitions that stand still",
                "Partitions before a record that cannot be read, and partitions that delivered nothing and were read "
                "again, since the start. Both should be 0.",
                "short",
                Query(f"sum(cutstream_unreadable_partitions{W})", "unreadable"),
                Query(f"sum(cutstream_stalled_partitions_total{W})", "stalled and cured"),
                width=6,
                decimals=0,
            ),
            lines(
                "Decoders replaced",
                "Decoder processes that crashed or hung, since the start. Each cost one photo.",
                "short",
                Query(f"sum(cutstream_decoder_restarts_total{W})", "decoders"),
                width=6,
                decimals=0,
            ),
        ),
    ),
)

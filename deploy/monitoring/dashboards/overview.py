"""Is it keeping up?"""

from __future__ import annotations

from deploy.monitoring.dashboards.panels import Board, Query, areas, bars, lines, number

W = '{instance=~"$instance"}'
_RATE = 'sum(rate(cutstream_requests_total{instance=~"$instance"}[$__rate_interval]))'
_LAG = f"sum(cutstream_consumer_lag_records{W})"
_BACKLOG = f"sum(cutstream_backlog_records{W})"
_DRAIN = f"{_BACKLOG} / ({_RATE} > 0) or {_BACKLOG} == 0"


def _age(quantile: float) -> Query:
    buckets = f"sum by (le) (rate(cutstream_request_age_seconds_bucket{W}[$__rate_interval]))"
    return Query(f"histogram_quantile({quantile}, {buckets})", f"{quantile:.0%}")


def _duration(quantile: float) -> Query:
    buckets = f"sum by (le) (rate(cutstream_request_duration_seconds_bucket{W}[$__rate_interval]))"
    return Query(f"histogram_quantile({quantile}, {buckets})", f"{quantile:.0%}")


OVERVIEW = Board(
    "Overview",
    "Is it keeping up?",
    (
        (
            number(
                "Answered",
                "Requests a second whose result was committed. If it is 0 while there is lag, see Reliability.",
                "reqps",
                _RATE,
            ),
            number(
                "Lag",
                "Requests that have no committed result yet, by the brokers' own ends. If it grows, see the time to "
                "drain.",
                "short",
                _LAG,
                decimals=0,
            ),
            number(
                "Time to drain",
                "Time in which the requests that are not read yet are worked off at the present rate, if no more come. "
                "More than 15 minutes is an alert if the backlog grows, too: add workers, or relieve the bottleneck.",
                "s",
                _DRAIN,
                steps=((300, "orange"), (900, "red")),
                empty="stands still",
            ),
            number(
                "Latency, 95 %",
                "Time from a request's timestamp to its committed result, for the 95th of 100. If it grows and the "
                "time in the worker does not, requests wait in Kafka: add workers.",
                "s",
                _age(0.95).expression,
            ),
            number(
                "Success",
                "Share of the requests that end as `ok`. Below 95 % is an alert: Reliability shows the codes.",
                "percentunit",
                f'sum(rate(cutstream_requests_total{{instance=~"$instance",status="ok"}}[$__rate_interval])) '
                f"/ ({_RATE} > 0)",
                steps=((0.95, "orange"), (0.99, "green")),
                maximum=1,
            ),
            number(
                "Workers ready",
                "Workers whose checks are all true. Reliability shows the checks of those that are not.",
                "none",
                f"sum(min by (instance) (cutstream_ready{W}))",
                steps=((1, "green"),),
                decimals=0,
            ),
        ),
        (
            areas(
                "Answered by status",
                "Requests a second whose result was committed. `expired` ones have missed their deadline, `failed` "
                "ones have left a dead letter.",
                "reqps",
                Query(
                    'sum by (status) (rate(cutstream_requests_total{instance=~"$instance"}[$__rate_interval]))',
                    "{{status}}",
                ),
                width=12,
            ),
            lines(
                "Lag by topic",
                "Requests without a committed result. On the retry topic they wait until they are due.",
                "short",
                Query(f"sum by (topic) (cutstream_consumer_lag_records{W})", "{{topic}}"),
                width=12,
            ),
        ),
        (
            lines(
                "Latency",
                "Time from a request's timestamp to its committed result: what the requester waits.",
                "s",
                *map(_age, (0.5, 0.95, 0.99)),
            ),
            lines(
                "Time in the worker",
                "Time from reading a request to committing its result. The rest of the latency is the wait in Kafka.",
                "s",
                *map(_duration, (0.5, 0.95, 0.99)),
            ),
            bars(
                "Bottleneck: photos in each stage",
                "How many photos are in a stage on average. They gather at the bottleneck: if it is `segment`, "
                "give Triton more, otherwise add workers. Pipeline shows the details.",
                "short",
                Query(
                    f"sum by (stage) (avg_over_time(cutstream_stage_photos{W}[$__rate_interval]))",
                    "{{stage}}",
                ),
                decimals=1,
            ),
        ),
        (
            lines(
                "Time to drain",
                "Time in which the requests that are not read yet are worked off at the present rate. The lines are at "
                "5 and at 15 minutes.",
                "s",
                Query(_DRAIN, "time to drain"),
                steps=((300, "orange"), (900, "red")),
            ),
            lines(
                "Oldest request",
                "Age of the oldest request without a result, and the time since the oldest that was read was read. If "
                "the second grows, something is stuck; if only the first does, the workers do not keep up.",
                "s",
                Query(f"max(cutstream_oldest_request_age_seconds{W})", "since it was written"),
                Query(f"max(cutstream_oldest_request_seconds{W})", "since it was read"),
                steps=((900, "red"),),
            ),
            lines(
                "Deadlines",
                "Share of the time to their deadlines that requests use. At 100 % they expire.",
                "percentunit",
                Query(
                    "histogram_quantile(0.95, "
                    f"sum by (le) (rate(cutstream_deadline_used_ratio_bucket{W}[$__rate_interval])))",
                    "95%",
                ),
                Query(
                    f"sum(rate(cutstream_deadline_used_ratio_sum{W}[$__rate_interval])) "
                    f"/ (sum(rate(cutstream_deadline_used_ratio_count{W}[$__rate_interval])) > 0)",
                    "mean",
                ),
                steps=((0.75, "orange"), (1, "red")),
            ),
        ),
    ),
)

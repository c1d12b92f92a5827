"""Are clients over HTTP served?"""

from __future__ import annotations

from deploy.monitoring.dashboards.panels import Board, Query, choice, lines, number

G = '{instance=~"$gateway"}'
_CLIENTS = '{instance=~"$gateway",call!~"health|metrics"}'  # not those of monitoring
_WAITING = '{instance=~"$gateway",call=~"removebg|rembg"}'  # the calls that wait for their result


def _rate(metric: str, by: str, labels: str = G) -> str:
    return f"sum by ({by}) (rate({metric}{labels}[$__rate_interval]))"


def _latency(quantile: float, by: str, labels: str) -> str:
    buckets = _rate("cutstream_gateway_call_duration_seconds_bucket", by, labels)
    return f"histogram_quantile({quantile}, {buckets})"


def _by_call(quantile: float) -> Query:
    return Query(_latency(quantile, "le, call", _CLIENTS), "{{call}}")


GATEWAY = Board(
    "Gateway",
    "Are clients over HTTP served?",
    (
        (
            number(
                "Calls",
                "Calls a second that the gateways answer, without those of monitoring.",
                "reqps",
                f"sum(rate(cutstream_gateway_calls_total{_CLIENTS}[$__rate_interval]))",
            ),
            number(
                "Latency, 95 %",
                "Time to the first byte of the answer, for the 95th of 100 calls that wait for their result. If it "
                "grows and the workers' own latency does too, add workers.",
                "s",
                _latency(0.95, "le", _WAITING),
                empty="no call",
            ),
            number(
                "Calls without 5xx",
                "Share of the answers that are no error of the deployment. Below 95 % is an alert: the gateway's log "
                "says more, by X-Request-Id.",
                "percentunit",
                "1 - (sum(rate(cutstream_gateway_calls_total"
                '{instance=~"$gateway",call!~"health|metrics",status=~"5.."}[$__rate_interval])) or vector(0)) '
                f"/ (sum(rate(cutstream_gateway_calls_total{_CLIENTS}[$__rate_interval])) > 0)",
                steps=((0.95, "orange"), (0.99, "green")),
                maximum=1,
                empty="no call",
            ),
            number(
                "Refused",
                "Calls a second that are refused for a limit or an overload. See `Refused by reason`.",
                "reqps",
                f"sum(rate(cutstream_gateway_refused_total{G}[$__rate_interval])) or vector(0)",
                steps=((0.001, "orange"),),
            ),
            number(
                "Expected wait",
                "Longest time that an urgent request would wait for its turn. At CUTSTREAM_GATEWAY__MAX_WAIT_S calls "
                "are refused: add workers.",
                "s",
                f"max(cutstream_gateway_expected_wait_seconds{G})",
                decimals=1,
            ),
            number(
                "Gateways reading",
                "Gateways that read results. One that does not refuses calls: its /readyz and its log say why.",
                "none",
                f"sum(cutstream_gateway_reading{G})",
                steps=((1, "green"),),
                decimals=0,
            ),
        ),
        (
            lines(
                "Calls by API and status",
                "Answers a second. 429: refused for a limit or an overload. 4xx: what clients sent. 5xx: the "
                "deployment; 504 is no result in time.",
                "reqps",
                Query(_rate("cutstream_gateway_calls_total", "call, status", _CLIENTS), "{{call}} {{status}}"),
                width=12,
            ),
            lines(
                "Refused by reason",
                "Calls a second that are refused for a limit. `wait`, `calls`, `photos`: urgent requests wait too long "
                "already, or too many calls or photos of jobs are open: add workers. `memory`: too many large bodies. "
                "`key_rate`, `key_calls`: limits of one key. `stream`: Kafka cannot be reached.",
                "reqps",
                Query(_rate("cutstream_gateway_refused_total", "reason"), "{{reason}}"),
                width=12,
                empty="none is refused",
            ),
        ),
        (
            lines(
                "Latency, 50 %",
                "Time from a call's head to the first byte of its answer: the median of each API, without calls that "
                "are refused with 429. A job is answered when it is stored.",
                "s",
                _by_call(0.5),
            ),
            lines(
                "Latency, 95 %",
                "The same for the 95th of 100 calls. Compare it with the Latency of Overview: the rest is the "
                "gateway's own.",
                "s",
                _by_call(0.95),
            ),
            lines(
                "Latency, 99 %",
                "The same for the 99th of 100 calls. Nothing takes longer than CUTSTREAM_GATEWAY__TIMEOUT_S by much.",
                "s",
                _by_call(0.99),
            ),
        ),
        (
            lines(
                "Waiting calls",
                "Calls under way, by gateway: synchronous ones until their answer, those that submit a job until it is "
                "stored. At CUTSTREAM_GATEWAY__MAX_CALLS further ones are refused.",
                "short",
                Query(f"sum by (instance) (cutstream_gateway_waiting_calls{G})", "{{instance}}"),
                decimals=0,
            ),
            lines(
                "Expected wait",
                "Time that an urgent request would wait for its turn, as each gateway estimates it. It is 0 while few "
                "wait.",
                "s",
                Query(f"max by (instance) (cutstream_gateway_expected_wait_seconds{G})", "{{instance}}"),
            ),
            lines(
                "Reads results",
                "1 while a gateway reads the results topic. At 0 calls get 503, and jobs wait.",
                "none",
                Query(f"min by (instance) (cutstream_gateway_reading{G})", "{{instance}}"),
                maximum=1,
                decimals=0,
            ),
        ),
        (
            lines(
                "Uploads",
                "Bytes a second of photos that clients upload. For the capacity of the store and the network.",
                "Bps",
                Query(_rate("cutstream_gateway_upload_bytes_total", "instance"), "{{instance}}"),
            ),
            lines(
                "Open photos of jobs",
                "Photos of jobs without a result. If they stay while results come, look at the gateway's log; at "
                "CUTSTREAM_GATEWAY__MAX_OPEN_PHOTOS jobs are refused.",
                "short",
                Query(f"sum by (instance) (cutstream_gateway_open_photos{G})", "{{instance}}"),
                decimals=0,
            ),
            lines(
                "Webhooks by outcome",
                "Attempts a second to deliver a webhook. `failed` ones are tried again. If `given_up` is above 0, a "
                "client was not told: the log names its host.",
                "ops",
                Query(_rate("cutstream_gateway_webhooks_total", "outcome"), "{{outcome}}"),
                empty="no webhook",
            ),
        ),
    ),
    (choice("gateway", "Gateway", "label_values(cutstream_gateway_reading, instance)"),),
)

"""For each alert, series under which it fires and series beside it under which it does not.

The values are in promtool's notation, one a minute: `0x10` is eleven zeros, `0+5x10` counts up by five. They are looked
at when the longest of them end.
"""

from __future__ import annotations

from dataclasses import dataclass

WORKER = 'instance="worker:9100",job="cutstream"'
GATEWAY = 'instance="gateway:8080",job="gateway"'
OF_GATEWAY = 'instance="gateway:8080"'  # after sums by instance


@dataclass(frozen=True)
class Case:
    """`fires` and `quiet` map series to values. `labels` are those of the alert that fires, besides its severity."""

    fires: dict[str, str]
    quiet: dict[str, str]
    labels: str = WORKER
    minutes: int = 30


def of_worker(name: str, labels: str = "") -> str:
    return f"{name}{{{','.join(filter(None, (labels, WORKER)))}}}"


def of_gateway(name: str, labels: str = "") -> str:
    return f"{name}{{{','.join(filter(None, (labels, GATEWAY)))}}}"


def one(name: str, fires: str, quiet: str, labels: str = "") -> Case:
    """A case of one series of a worker, whose labels the alert keeps."""
    series = of_worker(name, labels)
    return Case({series: fires}, {series: quiet}, series.partition("{")[2].rstrip("}"))


def pair(first: tuple[str, str, str], *others: tuple[str, str, str], labels: str = "", minutes: int = 30) -> Case:
    """A case of several series, each with its values that fire and that are quiet."""
    rows = (first, *others)
    return Case({name: fires for name, fires, _ in rows}, {name: quiet for name, _, quiet in rows}, labels, minutes)


LAG, OFFSET = "cutstream_consumer_lag_records", "cutstream_answered_offset"
FIRST, SECOND = 'partition="0",topic="requests"', 'partition="1",topic="requests"'
OK = of_worker("cutstream_requests_total", 'code="",profile="fast",status="ok"')
FAILED = of_worker("cutstream_requests_total", 'code="unsupported_format",profile="",status="failed"')
EXPIRED = of_worker("cutstream_requests_total", 'code="expired",profile="fast",status="expired"')
POSTPONED = of_worker("cutstream_postponed_total", 'code="failed_image_download"')
USED = "cutstream_deadline_used_ratio"
BUILD = of_worker("cutstream_build_info", 'python="3.11.7",version="0.1.0"')
GATEWAY_BUILD = of_gateway("cutstream_build_info", 'python="3.11.7",version="0.1.0"')
READING = of_gateway("cutstream_gateway_reading")


def answers(call: str, status: int) -> str:
    return of_gateway("cutstream_gateway_calls_total", f'call="{call}",status="{status}"')


def refused(reason: str) -> str:
    return of_gateway("cutstream_gateway_refused_total", f'reason="{reason}"')


def webhooks(outcome: str) -> str:
    return of_gateway("cutstream_gateway_webhooks_total", f'outcome="{outcome}"')


CASES: dict[str, Case] = {
    "CutstreamWorkerAway": one("up", "1x25 0x4", "1x27 0 1x2"),
    "CutstreamNoWorker": pair(
        (BUILD, "1x20", "1x30"),
        (GATEWAY_BUILD, "1x30", "1x30"),  # a gateway is no worker
        labels='job="cutstream"',
    ),
    "CutstreamWorkerHalted": one("cutstream_halted", "0x29 1", "0x30", 'reason="poison_limit"'),
    "CutstreamWorkerNotReady": one("cutstream_ready", "1x25 0x4", "1x28 0x1", 'check="group"'),
    "CutstreamLoopStill": pair(
        (of_worker("cutstream_loop_heartbeat_seconds"), "0+60x25 1500x5", "0+60x30"),
        (of_worker("cutstream_halted", 'reason="poison_limit"'), "0x30", "0x30"),
        labels=WORKER,
    ),
    "CutstreamTritonAway": one("cutstream_ready", "1x25 0x4", "1x29 0", 'check="triton"'),
    "CutstreamStoreAway": one("cutstream_ready", "1x25 0x4", "1x29 0", 'check="store"'),
    "CutstreamNoProgress": pair(
        (of_worker(LAG, FIRST), "5x30", "5x30"),
        (OK, "0+1x10 10x20", "0+1x10 10x20"),
        (POSTPONED, "0x30", "0+1x30"),  # requests that wait on the retry topic are tried again and again
    ),
    "CutstreamPartitionStranded": pair(
        (of_worker(LAG, FIRST), "5x30", "5x30"),
        (of_worker(OFFSET, FIRST), "7x30", "7x22 8x7"),
        (of_worker(LAG, SECOND), "5x30", "0x30"),
        (of_worker(OFFSET, SECOND), "0+9x30", "7x30"),  # without lag it may stand still
        (OK, "0+9x30", "0+9x30"),
        labels=f"{FIRST},{WORKER}",
    ),
    "CutstreamPartitionUnreadable": one("cutstream_unreadable_partitions", "0x25 1x4", "0x28 1x1"),
    "CutstreamPartitionStalled": one("cutstream_stalled_partitions_total", "0x20 1x9", "1x30"),
    "CutstreamLagGrows": pair(
        (of_worker("cutstream_backlog_records"), "0+120x60", "9000-120x60"),
        (OK, "0+60x60", "0+60x60"),
        minutes=60,
    ),
    "CutstreamBacklogOld": pair((of_worker("cutstream_oldest_request_age_seconds"), "0+60x30", "0x20 0+60x9")),
    "CutstreamDeadlinesTight": pair(
        (of_worker(f"{USED}_bucket", 'le="0.75"'), "0+5x30", "0+10x30"),
        (of_worker(f"{USED}_count"), "0+10x30", "0+10x30"),
    ),
    "CutstreamRequestsExpire": pair((EXPIRED, "_x25 1x4", "1x30"), labels='status="expired"'),
    "CutstreamRequestStuck": one("cutstream_oldest_request_seconds", "0+60x30", "0x22 0+60x7"),
    "CutstreamErrorShare": pair((FAILED, "0+1x30", "0+1x30"), (OK, "0+9x30", "0+99x30")),
    "CutstreamDeadLetters": pair((FAILED, "_x25 1x4", "1x30"), labels='code="unsupported_format"'),
    "CutstreamSourcesAway": one("cutstream_silent_sources", "0x10 1x19", "0x20 1x9"),
    "CutstreamInDoubt": one("cutstream_in_doubt", "0x20 1x9", "0x27 1x2", 'about="network"'),
    "CutstreamTransactionsAborted": pair(
        (of_worker("cutstream_commits_total", 'outcome="refused"'), "0+2x30", "0x20 0+2x9"),
        (of_worker("cutstream_commits_total", 'outcome="ok"'), "0+9x30", "0+99x30"),
    ),
    "CutstreamGroupUnsettled": pair(
        (of_worker("cutstream_rebalances_total", 'change="gained"'), "0+1x30", "0x25 0+1x4"), (BUILD, "1x30", "1x30")
    ),
    "CutstreamDecodersDie": one("cutstream_decoder_restarts_total", "0+1x30", "0x25 0+1x4"),
    "CutstreamMemoryNearBudget": pair(
        (of_worker("cutstream_decoded_bytes"), "95x30", "0x20 95x9"),
        (of_worker("cutstream_memory_budget_bytes"), "100x30", "100x30"),
        labels=WORKER,
    ),
    "CutstreamDeviceMemoryLow": pair(
        (of_worker("cutstream_device_memory_bytes", 'kind="used"'), "96x30", "94x30"),
        (of_worker("cutstream_device_memory_bytes", 'kind="total"'), "100x30", "100x30"),
        labels=WORKER,
    ),
    "CutstreamGatewayAway": Case({of_gateway("up"): "1x25 0x4"}, {of_gateway("up"): "1x27 0 1x2"}, labels=GATEWAY),
    "CutstreamGatewayNotReading": Case({READING: "1x25 0x4"}, {READING: "1x27 0 1x2"}, labels=GATEWAY),
    "CutstreamGatewayErrors": pair(
        (answers("removebg", 504), "0+1x30", "0+1x30"),
        (answers("removebg", 200), "0+9x30", "0+99x30"),
        (answers("health", 503), "0+9x30", "0+99x30"),  # /readyz, which monitoring asks
        labels=OF_GATEWAY,
    ),
    "CutstreamGatewayRefuses": pair(
        (refused("wait"), "0+1x30", "0x24 0+1x5"),
        (refused("key_rate"), "0x30", "0+9x30"),  # one client's own limit
        labels=OF_GATEWAY,
    ),
    "CutstreamGatewayWebhooksFail": pair(
        (webhooks("failed"), "0+2x30", "0+1x30"),
        (webhooks("delivered"), "0+1x30", "0+2x30"),
        labels=OF_GATEWAY,
    ),
    "CutstreamGatewayWebhooksGivenUp": pair((webhooks("given_up"), "_x25 1x4", "1x30"), labels=OF_GATEWAY),
}

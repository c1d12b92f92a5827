"""The capacity plan: from photos a day to workers, partitions, Triton, brokers, objects and cost, step by step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from cutstream.errors import InvalidOption
from deploy.capacity.latency import Latency, predict
from deploy.capacity.measured import Measured
from deploy.capacity.prices import Prices
from deploy.capacity.sheet import Sheet, show

DAYS = 30  # of a month
LOST_TO_BOTH = 0.2
"""Of a worker's rate, where its cores and its interpreter's lock would allow the same: photos that wait for the lock
leave a core idle. From the simulation, as docs/scaling.md shows."""
BROKER_MB_PER_S = 50.0
"""Written to one broker, copies included: a third of what one disk of a small machine takes."""
GETS_PER_S, PUTS_PER_S = 5500, 3500
"""What Amazon S3 promises for one prefix; others promise less or nothing."""
_MOST_WORKERS = 100_000


@dataclass(frozen=True)
class Demand:
    """What is asked for. The photos of a day come within `hours`, and `peak` times as fast in the busiest minutes.

    `deadline_s` is for 99 of 100 photos, from the request to its committed result. None: there is none.
    """

    photos_a_day: float
    megapixels: float = 12.0
    profile: str = "fast"
    deadline_s: float | None = None
    peak: float = 3.0
    hours: float = 24.0
    output: str = "png"
    outputs: int = 1


@dataclass(frozen=True)
class Choices:
    """How it is built. `spare` workers, and as many servers or GPUs for Triton, may fail without being missed.

    `utilisation` is how busy the others are at the peak. `growth` is how far workers may multiply before partitions are
    too few. `gpu_ms` is the time of a GPU for a photo, measured by the user; None: Triton runs on CPUs.
    `object_wait_s` is how long the object store takes for a photo, reading and writing together.
    """

    cores_per_worker: int = 2
    triton_cores: int = 2
    utilisation: float = 0.7
    spare: int = 1
    growth: float = 2.0
    replication: int = 3
    retention_days: float = 7.0
    keep_days: float = 30.0
    gpu_ms: float | None = None
    object_wait_s: float = 0.2


def make_plan(
    demand: Demand, measured: Measured, choices: Choices | None = None, prices: Prices | None = None
) -> Sheet:
    """Return the plan. Raises InvalidOption for what was not measured, or for a deadline that nothing can meet."""
    choices = choices or Choices()
    if choices.gpu_ms is None and demand.profile not in measured.inference_ms:
        raise InvalidOption(
            f"--profile {demand.profile}: only {', '.join(measured.inference_ms)} has been measured on a CPU. "
            "Give --gpu-ms, the time that your GPU takes for a photo, or measure it: "
            f"python -m benchmarks.service_times --profile {demand.profile}"
        )
    sheet = Sheet()
    peak = _load(sheet, demand)
    work = _work(sheet, demand, measured, choices)
    workers = _workers(sheet, demand, measured, choices, peak, work)
    servers = _triton(sheet, choices, peak, work)
    brokers = _brokers(sheet, demand, measured, choices, peak)
    stored = _objects(sheet, demand, measured, choices, peak)
    _memory(sheet, measured, choices, workers, servers)
    if prices:
        _cost(sheet, demand, choices, prices, workers, servers, brokers, stored)
    return sheet


@dataclass(frozen=True)
class _Work:
    """Of one photo, in milliseconds: `own` of the worker with its decoders, of which `locked` holds the lock."""

    own_ms: float
    locked_ms: float
    triton_ms: float


def _load(sheet: Sheet, demand: Demand) -> float:
    sheet.section("Load")
    photos, hours = demand.photos_a_day, demand.hours
    mean = sheet.add(
        "mean_rate", "mean rate", photos / (hours * 3600), "photos/s", f"{show(photos)} ÷ ({show(hours)} × 3,600)"
    )
    return sheet.add(
        "peak_rate", "rate at the peak", mean * demand.peak, "photos/s", f"{show(mean)} × {show(demand.peak)}"
    )


def _work(sheet: Sheet, demand: Demand, measured: Measured, choices: Choices) -> _Work:
    sheet.section(f"Work for a photo of {show(demand.megapixels)} megapixels")
    size = demand.megapixels
    add = partial(sheet.add, unit="core-ms")
    for_each_output = [measured.stages["store"], measured.encode[demand.output]]
    parts = [*measured.stages.values(), measured.encode[demand.output], *for_each_output * (demand.outputs - 1)]
    fixed = measured.loop_ms + sum(part.fixed for part in parts)
    slope = sum(part.per_megapixel for part in parts)
    fixed, slope = round(fixed, 1), round(slope, 2)
    worker = add(
        "worker_ms", "the worker", fixed + slope * size, formula=f"{show(fixed)} + {show(slope)} × {show(size)}"
    )
    decode = measured.decode
    decoder = add(
        "decoder_ms",
        "its decoders",
        decode.at(size),
        formula=f"{show(decode.fixed)} + {show(decode.per_megapixel)} × {show(size)}",
    )
    share, loop = measured.locked_share, measured.loop_ms
    locked = add(
        "locked_ms",
        "of the worker's, under its Python's lock",
        loop + (worker - loop) * share,
        formula=f"{show(loop)} + ({show(worker)} − {show(loop)}) × {show(share)}",
    )
    if choices.gpu_ms is None:
        took = measured.inference_ms[demand.profile]
        triton = add("triton_ms", f"Triton, profile {demand.profile}", took, note="measured")
    else:
        triton = sheet.add("triton_ms", "Triton", choices.gpu_ms, "GPU-ms", note="given")
    return _Work(round(worker + decoder, 4), locked, triton)


def _workers(sheet: Sheet, demand: Demand, measured: Measured, choices: Choices, peak: float, work: _Work) -> int:
    sheet.section(f"Workers, each with {choices.cores_per_worker} cores")
    cores, busy = choices.cores_per_worker, choices.utilisation
    by_cores = sheet.add(
        "rate_by_cores",
        "a worker's rate by its cores",
        cores * 1000 / work.own_ms,
        "photos/s",
        f"{cores} × 1,000 ÷ {show(work.own_ms)}",
        "the worker and its decoders",
    )
    by_lock = sheet.add(
        "rate_by_lock",
        "by its Python's lock",
        1000 / work.locked_ms,
        "photos/s",
        f"1,000 ÷ {show(work.locked_ms)}",
    )
    fewer, more = sorted((by_cores, by_lock))
    both = sheet.add(
        "rate_most",
        "by both, which wait for each other",
        fewer * (1 - LOST_TO_BOTH * fewer / more),
        "photos/s",
        f"{show(fewer)} × (1 − {show(LOST_TO_BOTH)} × {show(fewer)} ÷ {show(more)})",
    )
    planned = sheet.add(
        "rate_planned", "planned with, to leave room", both * busy, "photos/s", f"{show(both)} × {show(busy)}"
    )
    needed = max(1, math.ceil(peak / planned))
    latency = partial(
        predict,
        own_ms=work.own_ms,
        triton_ms=work.triton_ms,
        servers=cores if by_cores <= by_lock else 1,
        waits_s=choices.object_wait_s,
        transaction_ms=measured.transaction_ms,
    )
    expected = latency(utilisation=peak / needed / both)
    if demand.deadline_s is not None:
        best = latency(utilisation=0.0)
        if best.p99_s > demand.deadline_s:
            enough_s = math.ceil(best.p99_s * 100) / 100
            raise InvalidOption(
                f"--deadline {demand.deadline_s:g}: even idle workers need {enough_s:.2f} s for 99 of 100 photos. "
                "Give them more time, or smaller photos"
            )
        while expected.p99_s > demand.deadline_s and needed < _MOST_WORKERS:
            needed += 1
            expected = latency(utilisation=peak / needed / both)
    formula = f"⌈{show(peak)} ÷ {show(planned)}⌉ + {choices.spare}"
    added = needed - max(1, math.ceil(peak / planned))
    if added:
        formula += f" + {added}"
    workers = int(
        sheet.add(
            "workers",
            "workers",
            needed + choices.spare,
            formula=formula,
            note=", ".join(filter(None, (_spare(choices), f"{added} more for the deadline" if added else ""))),
        )
    )
    _partitions(sheet, choices, workers)
    formula = f"{show(peak)} ÷ {needed} ÷ {show(both)}"
    _latency(sheet, demand, expected, formula)
    return workers


def _spare(choices: Choices) -> str:
    return f"{choices.spare} may fail" if choices.spare else ""


def _partitions(sheet: Sheet, choices: Choices, workers: int) -> None:
    least = max(8, math.ceil(workers * choices.growth))
    partitions = 1 << (least - 1).bit_length()
    sheet.add("partitions_least", "partitions at least", least, formula=f"max(8, ⌈{workers} × {show(choices.growth)}⌉)")
    sheet.add("partitions", "partitions", partitions, note="the next power of two")


def _latency(sheet: Sheet, demand: Demand, expected: Latency, busy: str) -> None:
    sheet.section("Time from the request to the result, without the spare workers, at the peak")
    sheet.add("utilisation", "how busy each worker is", expected.utilisation, formula=busy)
    sheet.add("p50_s", "half of the photos, about", expected.p50_s, "s", expected.p50_formula)
    deadline = "" if demand.deadline_s is None else f"the deadline is {show(demand.deadline_s)} s"
    sheet.add("p99_s", "99 of 100, about", expected.p99_s, "s", expected.p99_formula, deadline)


def _triton(sheet: Sheet, choices: Choices, peak: float, work: _Work) -> int:
    busy = choices.utilisation
    formula = f"{show(peak)} × {show(work.triton_ms)} ÷ 1,000 ÷ {show(busy)}"
    needed = peak * work.triton_ms / 1000 / busy
    if choices.gpu_ms is not None:
        sheet.section("Triton on GPUs")
        kept_busy = sheet.add("gpus_needed", "GPUs' worth of work", needed, formula=formula)
        return int(
            sheet.add(
                "gpus",
                "GPUs",
                math.ceil(kept_busy) + choices.spare,
                formula=f"⌈{show(kept_busy)}⌉ + {choices.spare}",
                note=_spare(choices),
            )
        )
    sheet.section(f"Triton on CPUs, servers of {choices.triton_cores} cores")
    cores = sheet.add("triton_cores", "cores", needed, formula=formula)
    return int(
        sheet.add(
            "triton_servers",
            "servers",
            math.ceil(cores / choices.triton_cores) + choices.spare,
            formula=f"⌈{show(cores)} ÷ {choices.triton_cores}⌉ + {choices.spare}",
            note=_spare(choices),
        )
    )


def _brokers(sheet: Sheet, demand: Demand, measured: Measured, choices: Choices, peak: float) -> float:
    """Return the cores of all brokers."""
    sheet.section("Brokers")
    each, copies = measured.request_bytes + measured.result_bytes, choices.replication
    written = sheet.add(
        "broker_mb_per_s",
        "written, all copies",
        peak * each * copies / 1e6,
        "MB/s",
        f"{show(peak)} × ({show(measured.request_bytes)} + {show(measured.result_bytes)}) × {copies} ÷ 1,000,000",
    )
    number = sheet.add(
        "brokers",
        "brokers",
        max(copies, math.ceil(written / BROKER_MB_PER_S)),
        formula=f"max({copies}, ⌈{show(written)} ÷ {show(BROKER_MB_PER_S)}⌉)",
        note="one for each copy at least",
    )
    cores = sheet.add(
        "broker_cores",
        "their cores",
        max(number, peak * measured.broker_ms / 1000 * copies / choices.utilisation),
        formula=f"max({show(number)}, {show(peak)} × {show(measured.broker_ms)} ÷ 1,000 × {copies} ÷ "
        f"{show(choices.utilisation)})",
        note="a copy taken to cost what the first one does",
    )
    sheet.add(
        "topic_gb",
        f"kept for {show(choices.retention_days)} days",
        demand.photos_a_day * each * choices.retention_days * copies / 1e9,
        "GB",
        f"{show(demand.photos_a_day)} × {show(each)} × {show(choices.retention_days)} × {copies} ÷ 1,000,000,000",
    )
    return cores


def _objects(sheet: Sheet, demand: Demand, measured: Measured, choices: Choices, peak: float) -> float:
    """Return the bytes of the outputs of one photo."""
    sheet.section("Object store")
    size, line = demand.megapixels, measured.output_bytes[demand.output]
    source = measured.source_bytes
    came = sheet.add(
        "source_mb",
        "a photo",
        source.at(size) / 1e6,
        "MB",
        f"({show(source.fixed)} + {show(source.per_megapixel)} × {show(size)}) ÷ 1,000,000",
    )
    stored = sheet.add(
        "output_mb",
        f"its {demand.output.upper()}" + (f", {demand.outputs} of them" if demand.outputs > 1 else ""),
        line.at(size) * demand.outputs / 1e6,
        "MB",
        f"({show(line.fixed)} + {show(line.per_megapixel)} × {show(size)}) × {demand.outputs} ÷ 1,000,000",
    )
    sheet.add("gets_per_s", "GETs at the peak", peak, "/s", show(peak), note=_limit(peak, GETS_PER_S))
    puts = peak * demand.outputs
    formula = f"{show(peak)} × {demand.outputs}"
    sheet.add("puts_per_s", "PUTs at the peak", puts, "/s", formula, _limit(puts, PUTS_PER_S))
    sheet.add("in_mbit_per_s", "read at the peak", peak * came * 8, "Mbit/s", f"{show(peak)} × {show(came)} × 8")
    sheet.add(
        "out_mbit_per_s", "written at the peak", peak * stored * 8, "Mbit/s", f"{show(peak)} × {show(stored)} × 8"
    )
    sheet.add(
        "stored_gb",
        f"kept for {show(choices.keep_days)} days",
        demand.photos_a_day * stored * choices.keep_days / 1000,
        "GB",
        f"{show(demand.photos_a_day)} × {show(stored)} × {show(choices.keep_days)} ÷ 1,000",
    )
    return stored


def _limit(rate: float, most: int) -> str:
    if rate <= most:
        return ""
    return f"beyond the {most:,}/s that S3 promises for one prefix: use several destinations"


def _memory(sheet: Sheet, measured: Measured, choices: Choices, workers: int, servers: int) -> None:
    sheet.section("Memory, besides the system's own")
    budget = 1500.0
    sheet.add(
        "worker_memory_gb",
        "workers",
        workers * (measured.worker_mb + budget) / 1000,
        "GB",
        f"{workers} × ({measured.worker_mb} + {show(budget)}) ÷ 1,000",
        "at rest, and CUTSTREAM_WORKER__MEMORY_BYTES for photos in flight",
    )
    if choices.gpu_ms is None:
        sheet.add(
            "triton_memory_gb",
            "Triton",
            servers * measured.triton_mb / 1000,
            "GB",
            f"{servers} × {measured.triton_mb} ÷ 1,000",
        )


def _cost(
    sheet: Sheet,
    demand: Demand,
    choices: Choices,
    prices: Prices,
    workers: int,
    servers: int,
    broker_cores: float,
    stored_mb: float,
) -> None:
    sheet.section(f"Cost of a month of {DAYS} days; workers and Triton run in the hours in which photos come")
    add = partial(sheet.add, unit=prices.currency)
    hours, photos = demand.hours, demand.photos_a_day
    on_cpu = choices.gpu_ms is None
    triton = f" + {servers} × {choices.triton_cores}" if on_cpu else ""
    cores = workers * choices.cores_per_worker + (servers * choices.triton_cores if on_cpu else 0)
    costs = [
        add(
            "cost_cores",
            "cores",
            (cores * hours + broker_cores * 24) * DAYS * prices.core_hour,
            formula=f"(({workers} × {choices.cores_per_worker}{triton}) × {show(hours)} + {show(broker_cores)} × 24) "
            f"× {DAYS} × {show(prices.core_hour)}",
        )
    ]
    if not on_cpu:
        formula = f"{servers} × {show(hours)} × {DAYS} × {show(prices.gpu_hour)}"
        costs.append(add("cost_gpus", "GPUs", servers * hours * DAYS * prices.gpu_hour, formula=formula))
    kept = sheet.values()["stored_gb"]
    costs += [
        add(
            "cost_storage",
            "outputs stored",
            kept * prices.storage_gb_month,
            formula=f"{show(kept)} × {show(prices.storage_gb_month)}",
        ),
        add(
            "cost_requests",
            "requests to the object store",
            photos * DAYS * (1 + demand.outputs) / 1000 * prices.requests_1000,
            formula=f"{show(photos)} × {DAYS} × (1 + {demand.outputs}) ÷ 1,000 × {show(prices.requests_1000)}",
        ),
        add(
            "cost_egress",
            "outputs fetched once",
            photos * DAYS * stored_mb / 1000 * prices.egress_gb,
            formula=f"{show(photos)} × {DAYS} × {show(stored_mb)} ÷ 1,000 × {show(prices.egress_gb)}",
        ),
    ]
    total = add("cost", "together", sum(costs), formula=" + ".join(map(show, costs)))
    formula = f"{show(total)} ÷ ({show(photos)} × {DAYS}) × 1,000"
    add("cost_1000", "for 1,000 photos", total / (photos * DAYS) * 1000, formula=formula)

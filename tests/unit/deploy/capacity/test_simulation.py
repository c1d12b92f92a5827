"""The simulation against what queueing theory knows exactly, and against itself."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import replace

import pytest

simpy = pytest.importorskip("simpy", reason="the extra `planning` is not installed")

from cutstream.settings import TritonSettings, WorkerSettings  # noqa: E402
from deploy.capacity.latency import waiting_probability  # noqa: E402
from deploy.capacity.simulation.cores import Cores, Interpreter  # noqa: E402
from deploy.capacity.simulation.stream import Deployment, Outcome, Stream, assign  # noqa: E402
from deploy.capacity.simulation.triton import Triton  # noqa: E402
from deploy.capacity.simulation.worker import Rules, Work  # noqa: E402

WORK = Work(
    loop_s=0.005,
    fetch_s=0.0005,
    decode_s=0.008,
    prepare_s=0.003,
    infer_s=0.013,
    refine_s=0.008,
    compose_s=0.002,
    encode_s=0.009,
    store_s=0.003,
    locked_share=0.3,
)
ALL_MS = 51.5  # the sum


def mean_sojourn_s(count: int, gap: Callable[[], float], work: Callable[[simpy.Environment, float], object]) -> float:
    """Return the mean time that `count` arrivals stay; `work` starts the service of size 1, drawn or not."""
    env, total = simpy.Environment(), 0.0
    serve = work(env, 1.0)

    def customer() -> Generator[simpy.Event, object, None]:
        nonlocal total
        began = env.now
        yield serve()  # type: ignore[operator]
        total += env.now - began

    def arrive() -> Generator[simpy.Event, object, None]:
        for _ in range(count):
            yield env.timeout(gap())
            env.process(customer())

    env.process(arrive())
    env.run()
    return total / count


@pytest.mark.parametrize("draw", ["exponential", "constant"])
def test_processor_sharing_on_one_core_is_the_closed_form_whatever_the_sizes(draw: str) -> None:
    numbers = random.Random(5)

    def work(env: simpy.Environment, size: float) -> Callable[[], simpy.Event]:
        cores = Cores(env, 1)
        return lambda: cores.work(numbers.expovariate(1 / size) if draw == "exponential" else size)

    found = mean_sojourn_s(8_000, lambda: numbers.expovariate(0.7), work)
    assert found == pytest.approx(1 / (1 - 0.7), rel=0.1)


@pytest.mark.parametrize("number", [2, 4])
def test_processor_sharing_on_several_cores_is_erlangs_formula(number: int) -> None:
    numbers = random.Random(6)

    def work(env: simpy.Environment, size: float) -> Callable[[], simpy.Event]:
        cores = Cores(env, number)
        return lambda: cores.work(numbers.expovariate(1 / size))

    found = mean_sojourn_s(8_000, lambda: numbers.expovariate(0.75 * number), work)
    assert found == pytest.approx(1 + waiting_probability(number, 0.75) / (number * 0.25), rel=0.1)


def test_a_triton_of_one_image_a_batch_is_m_d_1() -> None:
    numbers = random.Random(7)

    def work(env: simpy.Environment, size: float) -> Callable[[], simpy.Event]:
        triton = Triton(env, Cores(env, 1), instances=1, max_batch=1)
        return lambda: triton.infer([size])

    found = mean_sojourn_s(8_000, lambda: numbers.expovariate(0.6), work)
    assert found == pytest.approx(1 + 0.6 / (2 * 0.4), rel=0.1)


def test_a_piece_of_work_never_takes_more_than_one_core_and_the_lock_lets_one_run() -> None:
    env = simpy.Environment()
    cores = Cores(env, 4)
    python = Interpreter(env, cores)
    ends = [env.process(python.work(1.0, 1.0)) for _ in range(2)]
    env.run(env.all_of(ends))
    assert 2.9 < env.now < 3.1  # two locked seconds one after the other, and the native second of the last
    assert cores.busy_s == pytest.approx(4.0)


def test_waiting_calls_share_a_batch_and_its_threads() -> None:
    env = simpy.Environment()
    triton = Triton(env, Cores(env, 2), instances=1, max_batch=8)
    times: list[float] = []
    for at_s in (0.0, 0.1, 0.2):
        env.run(until=env.timeout(at_s - env.now))
        triton.infer([1.0, 1.0]).callbacks.append(lambda _: times.append(env.now))
    env.run()
    assert times == [1.0, 3.0, 3.0]  # the first alone, the other two together: four images on two threads


def backlog(deployment: Deployment, work: Work = WORK, count: int = 400) -> Outcome:
    return Stream(deployment, work, cv=0.2, seed=3).run([0.0] * count)


def test_with_a_backlog_the_cores_or_the_lock_decide_the_rate() -> None:
    free = replace(WORK, locked_share=0.0, loop_s=0.0)
    outcome = backlog(Deployment(broker_s=0.005), free)
    taken_in_s = 0.005 / 2  # the brokers' other half was done at the start
    assert outcome.rate(2, 8) == pytest.approx(2 / (0.0465 + taken_in_s), rel=0.06)
    locked = replace(WORK, locked_share=1.0)
    outcome = backlog(Deployment(cores=16), locked)
    assert outcome.rate(2, 8) == pytest.approx(1 / 0.0305, rel=0.06)


def test_every_request_is_committed_once_and_nothing_after_one_that_is_missing() -> None:
    outcome = backlog(Deployment(partitions=3))
    assert len(outcome.latencies_s) == 400
    assert outcome.lag(outcome.committed_s[-1]) == 0


def test_on_an_idle_machine_a_photo_takes_the_sum_of_its_parts() -> None:
    outcome = Stream(Deployment(transaction_s=0.03), WORK, cv=0).run([float(n) for n in range(20)])
    expected_s = ALL_MS / 1000 + 0.005 + 0.03  # the batch waits for others, and then the transaction
    assert outcome.latency_s(0.5) == pytest.approx(expected_s, abs=0.002)


def test_two_machines_do_twice_as_much_and_two_workers_on_one_no_more_than_its_cores() -> None:
    alone, machines, shared = (
        backlog(deployment).rate(1, 5)
        for deployment in (
            Deployment(),
            Deployment(machines=2, broker_cores=1),
            Deployment(workers_per_machine=2),
        )
    )
    assert machines / alone == pytest.approx(2, rel=0.08)
    assert shared / alone == pytest.approx(1.05, abs=0.15)


def test_partitions_that_do_not_divide_leave_workers_behind() -> None:
    assert list(map(len, assign(8, 3))) == [3, 3, 2]
    assert list(map(len, assign(2, 4))) == [1, 1, 0, 0]
    idle = backlog(Deployment(machines=4, partitions=2, broker_cores=1))
    full = backlog(Deployment(machines=4, partitions=4, broker_cores=1))
    assert full.committed_s[-1] < 0.65 * idle.committed_s[-1]


def test_a_seed_gives_the_same_run_again() -> None:
    runs = [Stream(Deployment(), WORK, seed=seed).run([n * 0.04 for n in range(200)]) for seed in (1, 1, 2)]
    assert runs[0].latencies_s == runs[1].latencies_s != runs[2].latencies_s


def test_results_wait_for_each_other_with_a_backlog_only() -> None:
    calm = Stream(Deployment(), WORK).run([n / 10 for n in range(200)])
    hurried = Stream(Deployment(rules=Rules(commit_interval_s=0.05)), WORK).run([0.0] * 400)
    assert calm.transactions > 100  # with nothing in flight, a result is committed at once
    assert hurried.transactions < 200  # for a twentieth of its age, although the setting is shorter


def test_a_transaction_costs_its_own_part_however_few_results_it_has() -> None:
    calm = [n / 5 for n in range(50)]
    runs = [
        Stream(Deployment(transaction_broker_s=broker_s, transaction_worker_s=worker_s), WORK, cv=0).run(calm)
        for broker_s, worker_s in ((0.0, 0.0), (0.01, 0.008))
    ]
    added_s = runs[1].busy_s - runs[0].busy_s
    assert added_s == pytest.approx(runs[1].transactions * 0.018)


def test_the_rules_are_the_products_defaults() -> None:
    worker, triton = WorkerSettings(), TritonSettings()
    assert Rules() == Rules(
        window=worker.window,
        decoders=worker.decoders,
        cores=worker.cores,
        commit_interval_s=worker.commit_interval_s,
        commit_max_results=worker.commit_max_results,
        batch_max_items=triton.batch_max_items,
        batch_max_wait_s=triton.batch_max_wait_s,
        in_flight=triton.in_flight,
    )

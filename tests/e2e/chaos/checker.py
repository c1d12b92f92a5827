"""Proves from what Kafka and the stores hold after a run that no promise was broken.

`check` is a pure function of the evidence. tests/e2e/chaos/test_checker.py shows that it finds every kind of violation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from cutstream.clients.kafka import Partition
from cutstream.contract.messages import Result, StoredObject
from tests.e2e.chaos.observer import Lag
from tests.e2e.chaos.workload import Planned, Recipe


@dataclass(frozen=True, order=True)
class Origin:
    """Where a request was first written."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}-{self.offset}"


@dataclass(frozen=True)
class Violation:
    kind: str
    detail: str


@dataclass(frozen=True)
class Evidence:
    """What a run has left behind.

    `requests` maps the origin of every record in the topics of requests, the retry topic excepted, to its plan.
    `letters` lists the origin of every dead letter. `quiet` holds the SHA-256 of each output of a recipe in the run
    without faults. `lags` holds, for each partition, the committed offset and the offset after the last record.
    `digest` is the digest of the model that serves.
    """

    requests: Mapping[Origin, Planned]
    results: Sequence[Result]
    letters: Sequence[Origin]
    quiet: Mapping[Recipe, Mapping[str, str]]
    read_object: Callable[[str], bytes | None]
    lags: Mapping[Partition, Lag]
    digest: str


def check(evidence: Evidence) -> list[Violation]:
    """Return every violation, in the order of the promises."""
    return [
        *_each_request_has_one_result(evidence),
        *_results_are_right(evidence),
        *_dead_letters_are_right(evidence),
        *_everything_is_committed(evidence),
    ]


def origin_of(result: Result) -> Origin:
    return Origin(result.source.topic, result.source.partition, result.source.offset)


def _each_request_has_one_result(evidence: Evidence) -> Iterator[Violation]:
    counted = Counter((origin_of(result), result.replay) for result in evidence.results)
    answered = {origin for origin, _ in counted}
    for origin in sorted(evidence.requests.keys() - answered):
        yield Violation("lost", f"{origin}: no result for request {evidence.requests[origin].number}")
    for (origin, replay), count in sorted(counted.items()):
        if count > 1:
            yield Violation("twice", f"{origin}: {count} results with replay {replay}")
        if origin not in evidence.requests:
            yield Violation("unasked", f"{origin}: a result without a request")


def _results_are_right(evidence: Evidence) -> Iterator[Violation]:
    for result in evidence.results:
        if planned := evidence.requests.get(origin_of(result)):
            yield from _check_identity(result, planned)
            yield from _check_status(result, planned)
            if result.status == "ok" and planned.recipe:
                yield from _check_pictures(result, planned.recipe, evidence)


def _check_identity(result: Result, planned: Planned) -> Iterator[Violation]:
    origin = str(origin_of(result))
    wanted = planned.key.decode() if planned.key else origin
    unreadable = planned.recipe is None and result.id == origin
    if result.id != wanted and not unreadable:
        yield Violation("wrong id", f"{origin}: {result.id} in place of {wanted}")


def _check_status(result: Result, planned: Planned) -> Iterator[Violation]:
    wanted = "ok" if planned.recipe else "failed"
    if result.status != wanted and not (planned.may_expire and result.status == "expired"):
        reason = f" ({result.error.code}: {result.error.message})" if result.error else ""
        yield Violation("wrong status", f"{origin_of(result)}: {result.status}{reason} in place of {wanted}")


def _check_pictures(result: Result, recipe: Recipe, evidence: Evidence) -> Iterator[Violation]:
    origin = origin_of(result)
    outputs = tuple(obj.output for obj in result.objects)
    if sorted(outputs) != sorted(recipe.outputs):
        yield Violation("wrong outputs", f"{origin}: {outputs} in place of {recipe.outputs}")
    if result.model is None or result.model.digest != evidence.digest:
        yield Violation("wrong model", f"{origin}: {result.model} in place of {evidence.digest}")
    for obj in result.objects:
        yield from _check_object(origin, obj, evidence)
        if obj.sha256 != evidence.quiet[recipe].get(obj.output):
            yield Violation("wrong picture", f"{origin}: {obj.uri} is not {obj.output} of {recipe.photo}")


def _check_object(origin: Origin, obj: StoredObject, evidence: Evidence) -> Iterator[Violation]:
    data = evidence.read_object(obj.uri)
    if data is None:
        yield Violation("missing object", f"{origin}: {obj.uri}")
    elif (len(data), sha256(data).hexdigest()) != (obj.bytes, obj.sha256):
        yield Violation("damaged object", f"{origin}: {obj.uri} has {len(data)} bytes, the result says {obj.bytes}")


def _dead_letters_are_right(evidence: Evidence) -> Iterator[Violation]:
    counted = Counter(evidence.letters)
    poison = {origin for origin, planned in evidence.requests.items() if planned.recipe is None}
    for origin in sorted(poison - counted.keys()):
        yield Violation("lost dead letter", f"{origin}: poison without a dead letter")
    for origin, count in sorted(counted.items()):
        if origin not in poison:
            yield Violation("unasked dead letter", f"{origin} is no poison")
        if count > 1:
            yield Violation("dead letter twice", f"{origin}: {count} dead letters")


def _everything_is_committed(evidence: Evidence) -> Iterator[Violation]:
    for partition, lag in sorted(evidence.lags.items()):
        if lag.committed < lag.end:
            yield Violation(
                "uncommitted", f"{partition.topic}-{partition.number}: {lag.committed} of {lag.end} is committed"
            )

"""The checker finds every kind of violation, and accepts a run without any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from cutstream.clients.kafka import Partition
from cutstream.contract.messages import ErrorDetail, Result, ServedModel, SourceRecord, StoredObject
from tests.e2e.chaos.checker import Evidence, Origin, check
from tests.e2e.chaos.observer import Lag
from tests.e2e.chaos.workload import Planned, Recipe

DIGEST = "d1"
PICTURES = {"a.jpg": b"cutout of a", "b.jpg": b"cutout of b"}


def uri(number: int) -> str:
    return f"file:///out/request-{number}/cutout.png"


def planned(number: int, photo: str | None) -> Planned:
    recipe = None if photo is None else Recipe(photo, ("cutout",))
    return Planned(number, "requests", f"request-{number}".encode(), b"{}", recipe)


def result(number: int, photo: str | None) -> Result:
    source = SourceRecord(topic="requests", partition=number % 2, offset=number, timestamp_ms=0)
    if photo is None:
        error = ErrorDetail(code="invalid_request", message="bad", stage="request", retryable=False)
        return Result(id=f"request-{number}", status="failed", source=source, error=error)
    data = PICTURES[photo]
    stored = StoredObject(
        output="cutout",
        uri=uri(number),
        bytes=len(data),
        sha256=sha256(data).hexdigest(),
        width=1,
        height=1,
        media_type="image/png",
    )
    model = ServedModel(name="cutout_fast", version="1", digest=DIGEST)
    return Result(id=f"request-{number}", status="ok", source=source, objects=(stored,), model=model)


def good_run() -> Evidence:
    """Return the evidence of two photos and one poison, as it should be."""
    photos = ["a.jpg", "b.jpg", None]
    objects = {uri(number): PICTURES[photo] for number, photo in enumerate(photos) if photo}
    return Evidence(
        requests={Origin("requests", n % 2, n): planned(n, photo) for n, photo in enumerate(photos)},
        results=[result(n, photo) for n, photo in enumerate(photos)],
        letters=[Origin("requests", 0, 2)],
        quiet={Recipe(photo, ("cutout",)): {"cutout": sha256(data).hexdigest()} for photo, data in PICTURES.items()},
        read_object=objects.get,
        lags={Partition("requests", 0): Lag(3, 3), Partition("requests", 1): Lag(2, 2)},
        digest=DIGEST,
    )


def changed(run: Evidence, index: int, **changes: Any) -> Evidence:
    results = list(run.results)
    results[index] = msgspec.structs.replace(results[index], **changes)
    return replace(run, results=results)


def swapped(run: Evidence) -> Evidence:
    """Give the first request the second one's picture: the object is there and is as the result says."""
    objects = {uri(0): PICTURES["b.jpg"], uri(1): PICTURES["b.jpg"]}
    stored = msgspec.structs.replace(run.results[1].objects[0], uri=uri(0))
    return replace(changed(run, 0, objects=(stored,)), read_object=objects.get)


FAILURE = ErrorDetail(code="unexpected", message="?", stage="decode", retryable=False)
VIOLATIONS: dict[str, Callable[[Evidence], Evidence]] = {
    "lost": lambda run: replace(run, results=run.results[1:]),
    "twice": lambda run: replace(run, results=[*run.results, run.results[0]]),
    "unasked": lambda run: replace(run, requests={o: p for o, p in run.requests.items() if p.number}),
    "wrong id": lambda run: changed(run, 0, id="request-1"),
    "wrong status": lambda run: changed(run, 0, status="failed", error=FAILURE, objects=()),
    "wrong outputs": lambda run: changed(run, 0, objects=()),
    "wrong model": lambda run: changed(run, 0, model=ServedModel(name="cutout_fast", version="1", digest="other")),
    "wrong picture": swapped,
    "missing object": lambda run: replace(run, read_object={uri(1): PICTURES["b.jpg"]}.get),
    "damaged object": lambda run: replace(run, read_object=lambda uri: b"cut"),
    "lost dead letter": lambda run: replace(run, letters=[]),
    "dead letter twice": lambda run: replace(run, letters=[*run.letters, *run.letters]),
    "unasked dead letter": lambda run: replace(run, letters=[*run.letters, Origin("requests", 0, 0)]),
    "uncommitted": lambda run: replace(run, lags={Partition("requests", 0): Lag(2, 3)}),
}


def test_a_good_run_has_no_violation() -> None:
    assert check(good_run()) == []


@pytest.mark.parametrize("kind", VIOLATIONS)
def test_every_kind_of_violation_is_found(kind: str) -> None:
    assert {violation.kind for violation in check(VIOLATIONS[kind](good_run()))} == {kind}


def test_poison_that_succeeds_is_a_violation() -> None:
    requests = {**good_run().requests, Origin("requests", 0, 0): planned(0, None)}
    kinds = {violation.kind for violation in check(replace(good_run(), requests=requests))}
    assert kinds == {"wrong status", "lost dead letter"}

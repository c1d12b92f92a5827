"""A transport without a network: the test answers the requests that a client hands over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from hashlib import sha256

from cutstream.client.inbox import Inbox
from cutstream.client.requests import Source
from cutstream.contract.messages import ErrorDetail, Request, Result, SourceRecord, StoredObject
from cutstream.errors import BrokerUnavailable

SOURCE = SourceRecord(topic="t", partition=0, offset=0, timestamp_ms=0)
CONTENT = b"the bytes of an output"


def ok(request: Request, media_type: str = "image/png") -> Result:
    """Return the result of a request that has succeeded."""
    objects = tuple(
        StoredObject(
            output=output,
            uri=f"file:///out/{request.id}/{output}",
            bytes=len(CONTENT),
            sha256=sha256(CONTENT).hexdigest(),
            width=4,
            height=3,
            media_type=media_type,
        )
        for output in request.outputs
    )
    return Result(id=request.id or "", status="ok", source=SOURCE, image=request.image, objects=objects)


def failed(request: Request, code: str = "unknown_foreground", status: str = "failed") -> Result:
    error = ErrorDetail(code=code, message="it says why", stage="compose", retryable=False)
    return Result(id=request.id or "", status=status, source=SOURCE, image=request.image, error=error)


class FakeTransport:
    """Keeps what is sent. `answer` is called for each request; by default the test answers with `finish`."""

    def __init__(self, answer: Callable[[Request], Result | None] = lambda request: None) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.sources: list[Source] = []
        self.urgent: list[bool] = []
        self.cancelled: list[str] = []
        self.content = CONTENT
        self.away = False
        self.closed = False
        self.inbox: Inbox

    def start(self, inbox: Inbox) -> None:
        self.inbox = inbox

    def send(self, request: Request, source: Source, urgent: bool) -> Future[None]:
        sent: Future[None] = Future()
        if self.away:
            error = BrokerUnavailable("no broker answers")
            self.inbox.fail(request.id or "", error)
            sent.set_exception(error)
            return sent
        self.requests.append(request)
        self.sources.append(source)
        self.urgent.append(urgent)
        sent.set_result(None)
        self.finish(self.answer(request))
        return sent

    def finish(self, *results: Result | None) -> None:
        for result in filter(None, results):
            self.inbox.deliver(result.id, result)

    def cancel(self, ids: Sequence[str]) -> None:
        self.cancelled += ids

    def read(self, output: StoredObject) -> bytes:
        return self.content

    def close(self) -> None:
        self.closed = True

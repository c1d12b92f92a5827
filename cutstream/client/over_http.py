"""Requests go to the HTTP service as jobs of one photo each, and their results are asked for.

One photo a job, so that each can be called off, refused and sent again by itself. Its id is the idempotency key: sent
again after an answer that was lost, it is the same job.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import msgspec

from cutstream.client.errors import ClientClosed, GatewayRefused, OutputUnavailable, PhotoUnreadable
from cutstream.client.inbox import Inbox
from cutstream.client.job_answers import cancelled_result, decode_job, refusal, result_of
from cutstream.client.requests import Source
from cutstream.clients.http_service import Answer, GatewayUnavailable, HttpService, Part
from cutstream.contract.messages import Request, StoredObject
from cutstream.errors import CutstreamError

log = logging.getLogger(__name__)

_SENDERS = 8
_CONNECTIONS = 24  # the others fetch outputs
_SEND_S = 120.0  # longer than the minute for which a key has to wait that has sent too many photos
_CONNECT_S = 2.0
_READ_S = 10.0
_CANCEL_S = 10.0
_TICK_S = 0.05
_PAUSE_S = 1.0

# Photos are done in about the order in which they were sent, so the oldest are asked about often and the rest rarely.
_OLDEST = 8
_SOON_S, _LATER_S, _LONGEST_S = 0.1, 2.0, 5.0


@dataclass
class _Job:
    """A job that was taken and is not done. Times are of the monotonic clock."""

    id: str
    began_s: float
    asked_s: float


class HttpTransport:
    """Sends jobs on a few threads, and asks for their results on one more."""

    def __init__(self, address: str, key: str | None = None) -> None:
        self._stop = threading.Event()
        self._service = HttpService(address, key, _CONNECTIONS, self._stop)
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}  # by the ids of the requests, in the order in which they were taken
        self._called_off: set[str] = set()  # before they were taken

    def start(self, inbox: Inbox) -> None:
        answer = self._service.call_until(_CONNECT_S, lambda: self._service.call("GET", "/v1.0/account"))
        if answer.status != 200:
            raise refusal(answer)
        self._inbox = inbox
        self._senders = ThreadPoolExecutor(_SENDERS, "cutstream-requests")
        self._asker = threading.Thread(target=self._ask, name="cutstream-results", daemon=True)
        self._asker.start()

    def send(self, request: Request, source: Source, urgent: bool) -> Future[None]:
        try:
            return self._senders.submit(self._send, request, source, urgent)
        except RuntimeError as exc:  # which the pool raises once it is shut down
            raise ClientClosed("the client is closed") from exc

    def cancel(self, ids: Sequence[str]) -> None:
        for id in ids:
            with self._lock:
                job = self._jobs.get(id)
                if job is None and id in self._inbox:
                    self._called_off.add(id)
            if job is not None:
                self._call_off(job.id)

    def read(self, output: StoredObject) -> bytes:
        path = output.uri.removeprefix(self._service.address)
        try:
            answer = self._service.call_until(_READ_S, lambda: self._service.call("GET", path))
        except GatewayUnavailable as exc:
            raise OutputUnavailable(f"the {output.output} cannot be fetched: {exc}") from exc
        if answer.status != 200:
            raise OutputUnavailable(f"the {output.output} cannot be fetched: {refusal(answer)}")
        return answer.body

    def close(self) -> None:
        self._stop.set()
        self._senders.shutdown(wait=True, cancel_futures=True)
        self._asker.join()
        self._service.close()

    # -- sending

    def _send(self, request: Request, source: Source, urgent: bool) -> None:
        id = request.id or ""
        if self._take_called_off(id):
            self._inbox.deliver(id, cancelled_result(request))
            return
        try:
            answer = self._service.call_until(_SEND_S, lambda: self._post(request, source, urgent))
            if answer.status not in (200, 202):
                raise refusal(answer)
            job = decode_job(answer)
        except Exception as exc:
            if not isinstance(exc, CutstreamError):
                log.exception("a request could not be sent")
            self._take_called_off(id)
            self._inbox.fail(id, exc)
            raise
        now = monotonic()
        with self._lock:
            self._jobs[id] = _Job(job.id, now, now)
        if self._take_called_off(id):
            try:
                self._call_off(job.id)
            except CutstreamError as exc:
                log.warning("a request could not be called off: %s", exc)

    def _take_called_off(self, id: str) -> bool:
        """Return whether a request was called off while it was not a job yet."""
        with self._lock:
            called_off = id in self._called_off
            self._called_off.discard(id)
        return called_off

    def _post(self, request: Request, source: Source, urgent: bool) -> Answer:
        fields = msgspec.to_builtins(request)
        del fields["image"]
        key = {"Idempotency-Key": request.id or ""}
        if isinstance(source, str):
            body = {"image": source, "options": fields, "urgent": urgent}
            return self._service.call("POST", "/v1/jobs", json=json.dumps(body).encode(), headers=key)
        file = (_utf8(source.name), _read(source)) if isinstance(source, Path) else ("photo", source)
        form: list[tuple[str, str] | tuple[str, Part]] = [
            ("options", json.dumps(fields)),
            ("urgent", str(urgent).lower()),
            ("image_file", file),
        ]
        return self._service.call("POST", "/v1/jobs", fields=form, headers=key)

    def _call_off(self, job: str) -> None:
        answer = self._service.call_until(_CANCEL_S, lambda: self._service.call("DELETE", f"/v1/jobs/{job}"))
        if answer.status not in (200, 202):
            raise refusal(answer)

    # -- asking

    def _ask(self) -> None:
        problem = ""
        while not self._stop.wait(_TICK_S):
            try:
                for id, job in self._due():
                    self._ask_about(id, job)
                    if self._stop.is_set():
                        return
                problem = ""
            except CutstreamError as exc:
                if isinstance(exc, GatewayRefused) and exc.status in (401, 403):  # the key is valid no more
                    self._inbox.close(exc)
                    return
                if str(exc) != problem:
                    log.warning("results cannot be asked for now: %s", exc)
                problem = str(exc)
                self._stop.wait(_PAUSE_S)
            except Exception as exc:  # none will come any more, which whoever waits must know
                log.exception("results cannot be asked for")
                self._inbox.close(exc)
                return

    def _due(self) -> list[tuple[str, _Job]]:
        now = monotonic()
        with self._lock:
            return [
                (id, job)
                for rank, (id, job) in enumerate(self._jobs.items())
                if now - job.asked_s >= _interval_s(rank, now - job.began_s)
            ]

    def _ask_about(self, id: str, job: _Job) -> None:
        job.asked_s = monotonic()
        answer = self._service.call("GET", f"/v1/jobs/{job.id}")
        if answer.status == 404:
            self._forget(id)
            self._inbox.fail(id, refusal(answer))
            return
        if answer.status != 200:
            raise refusal(answer)
        (photo,) = decode_job(answer).photos
        if photo.status != "waiting":
            self._forget(id)
            self._inbox.deliver(id, result_of(photo, f"{self._service.address}/v1/jobs/{job.id}/photos"))

    def _forget(self, id: str) -> None:
        with self._lock:
            self._jobs.pop(id, None)


def _interval_s(rank: int, age_s: float) -> float:
    if rank < _OLDEST:
        return max(_SOON_S, min(age_s / 20, _LONGEST_S))
    return max(_LATER_S, min(age_s / 10, _LONGEST_S))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as exc:
        raise PhotoUnreadable(f"{str(file)!r} cannot be read: {exc.strerror}") from exc


def _utf8(name: str) -> str:
    """Return a file's name as a form can carry it: it may be of an older encoding than UTF-8."""
    return os.fsencode(name).decode(errors="replace")

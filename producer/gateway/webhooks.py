"""Tell a client's server that its job is done: signed as Standard Webhooks says, and tried again with growing pauses.

The signature is an HMAC-SHA256 over `<webhook-id>.<webhook-timestamp>.<body>`. The id is that of the job, so a receiver
can drop what comes twice; the timestamp lets it refuse what is old.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
import logging
import random
from hashlib import sha256

from pydantic import SecretStr

from cutstream.clients.objects.guard import Guard
from cutstream.clients.objects.post import Poster
from cutstream.clock import Clock
from cutstream.errors import ConfigurationError, CutstreamError, RefusedAddress
from cutstream.metrics import GatewayMetrics
from cutstream.settings import GatewaySettings, about
from producer.gateway.errors import bad_request
from producer.gateway.job_database import JobsUnavailable
from producer.gateway.job_records import Job
from producer.gateway.job_store import JobStore
from producer.gateway.job_views import job_view

log = logging.getLogger(__name__)

PREFIX = "whsec_"
_TIMEOUT_S = 10.0
_AT_ONCE = 8
_POLL_S = 1.0
_AFTER_ERROR_S = 30.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 2.0, 900.0
_MAX_ADDRESS = 2048


def decode_secret(secret: SecretStr) -> bytes:
    """Return the bytes of `whsec_…`. Raises ConfigurationError."""
    text = secret.get_secret_value()
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True) if text.startswith(PREFIX) else b""
    except (binascii.Error, ValueError):
        key = b""
    if not 24 <= len(key) <= 64:
        raise ConfigurationError(
            about("gateway", "webhook_secret", f"it must be {PREFIX} and 24 to 64 bytes in base64")
        )
    return key


def sign(key: bytes, id: str, timestamp: int, body: bytes) -> str:
    """Return the value of `webhook-signature`."""
    signed = hmac.new(key, f"{id}.{timestamp}.".encode() + body, sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


class Webhooks:
    """Delivers webhooks. `check` is for the event loop, as is `run`, which ends when it is cancelled."""

    def __init__(self, settings: GatewaySettings, store: JobStore, metrics: GatewayMetrics, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._key = decode_secret(settings.webhook_secret) if settings.webhook_secret else None
        self._poster = Poster(Guard(settings.webhook_hosts, settings.webhook_private_addresses), _TIMEOUT_S)

    def check(self, url: str | None) -> None:
        """Raise CallRefused for a webhook that could not be sent."""
        if url is None:
            return
        if self._key is None:
            raise bad_request(
                "invalid_webhook", "This gateway sends no webhooks", "CUTSTREAM_GATEWAY__WEBHOOK_SECRET is not set"
            )
        try:
            if len(url) > _MAX_ADDRESS:
                raise RefusedAddress(f"more than {_MAX_ADDRESS:,} characters")
            self._poster.check(url)
        except RefusedAddress as exc:
            raise bad_request("invalid_webhook", "This webhook's address is not allowed", _reason(exc)) from exc

    async def run(self, due: asyncio.Event) -> None:
        """Deliver what is due. `due` is set when there may be more."""
        while True:
            try:
                jobs = await asyncio.to_thread(self._store.due_webhooks, self._clock.wall(), _AT_ONCE)
                if jobs:
                    await asyncio.gather(*(self._deliver(job) for job in jobs))
                    continue
                pause_s = _POLL_S
            except JobsUnavailable as exc:  # what was sent may not be noted, and is sent again
                log.warning("webhooks wait: %s", exc)
                pause_s = _AFTER_ERROR_S
                due.clear()
            except Exception:  # one broken job must not keep the others' webhooks back
                log.exception("webhooks could not be sent")
                pause_s = _AFTER_ERROR_S
                due.clear()
            try:
                await asyncio.wait_for(due.wait(), pause_s)
            except asyncio.TimeoutError:
                pass  # one that failed may be due again
            due.clear()

    async def _deliver(self, job: Job) -> None:
        counts = await asyncio.to_thread(self._store.counts, job.id)
        problem = await asyncio.to_thread(self._post, job, counts)
        attempts = job.webhook_attempts + 1
        if not problem:
            outcome, due = "delivered", None
        elif attempts >= self._settings.webhook_attempts:
            outcome, due = "given_up", None
            log.warning("a webhook is given up after %d attempts: %s", attempts, problem, extra={"job": job.id})
        else:
            pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (attempts - 1))
            outcome, due = "failed", self._clock.wall() + pause_s * random.uniform(0.75, 1.25)
        self._metrics.webhooks.labels(outcome).inc()
        await asyncio.to_thread(self._store.note_webhook, job.id, outcome, due)

    def _post(self, job: Job, counts: dict[str, int]) -> str:
        """Send one webhook. Return what is wrong, or an empty text."""
        assert self._key is not None
        assert job.webhook is not None
        timestamp = int(self._clock.wall())
        body = json.dumps({"type": "job.done", "data": job_view(job, counts, self._settings.result_age_s)}).encode()
        headers = {
            "Content-Type": "application/json",
            "webhook-id": job.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self._key, job.id, timestamp, body),
        }
        try:
            status = self._poster.post(job.webhook, body, headers)
        except CutstreamError as exc:
            return str(exc)
        return "" if 200 <= status < 300 else f"{job.webhook.partition('?')[0]} answered {status}"


def _reason(exc: RefusedAddress) -> str:
    """Return the guard's words, with the names of the settings that are meant for webhooks."""
    words = str(exc).replace("CUTSTREAM_OBJECTS__ALLOWED_HOSTS", "CUTSTREAM_GATEWAY__WEBHOOK_HOSTS")
    return words.replace("CUTSTREAM_OBJECTS__ALLOW_PRIVATE_ADDRESSES", "CUTSTREAM_GATEWAY__WEBHOOK_PRIVATE_ADDRESSES")

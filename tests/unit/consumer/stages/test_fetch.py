"""Nobody's background holds up those of others: real downloads, real decoders, and the default limits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pytest
from PIL import Image as Pillow

from consumer.jobs import Fetched
from consumer.resources.backgrounds import BackgroundStore
from consumer.resources.cache import Cache
from consumer.resources.decoding.pool import DecoderPool
from consumer.resources.sources import Sources
from consumer.stages.fetch import Fetch
from cutstream.arrays.cpu import CpuOps
from cutstream.clients.objects.store import ObjectStore
from cutstream.clock import SystemClock
from cutstream.contract.backgrounds import Entry
from cutstream.contract.options import Background
from cutstream.errors import SourceUnavailable
from cutstream.metrics import Metrics
from cutstream.settings import LimitSettings, ObjectSettings, WorkerSettings
from tests.support.http_server import HttpServer, serving
from tests.support.jobs import job_of

LIMITS = LimitSettings(download_timeout_s=4.0)


def no_entry(name: str) -> Entry:
    raise AssertionError(name)


@pytest.fixture
def fetch() -> Iterator[Fetch]:
    metrics, clock, ops = Metrics(), SystemClock(), CpuOps()
    pool = DecoderPool(
        2, 20, max_bytes=LIMITS.max_source_bytes, max_pixels=LIMITS.max_source_pixels, on_restart=lambda: None
    )
    pool.start()
    sources = Sources(ObjectStore(ObjectSettings(allow_private_addresses=True), LIMITS), 32, clock)
    cache = Cache(WorkerSettings().background_bytes, metrics)
    backgrounds = BackgroundStore(
        no_entry, sources, pool, cache, ops, clock, max_age_s=300, max_pixels=LIMITS.max_source_pixels
    )
    yield Fetch(sources, backgrounds, metrics)
    pool.close()


def file_of(side: int, shade: int) -> bytes:
    buffer = BytesIO()
    Pillow.new("L", (side, side), shade).save(buffer, "PNG")
    return buffer.getvalue()


def fetched(fetch: Fetch, photo: str, background: str) -> Fetched:
    job = job_of(image=photo, outputs=("composite",), background=Background(image=background))
    return fetch(job, job.recipe)


def test_large_backgrounds_of_requests_that_wait_hold_up_no_other(fetch: Fetch) -> None:
    with serving(HttpServer()) as server, ThreadPoolExecutor(1) as others:
        for shade in range(3):
            server.files[f"large-{shade}"] = file_of(7000, shade)  # 49 megapixels
        server.files["small"] = file_of(1000, 9)
        photo, large, small = server.url("photo/x"), server.url("files/large-"), server.url("files/small")
        waiting = others.submit(fetched, fetch, server.url("never_answers/x"), f"{large}0")
        held = [fetched(fetch, photo, f"{large}{shade}") for shade in (1, 2)]  # as while Triton is away
        started_s = time.monotonic()
        assert fetched(fetch, photo, small).background is not None
        assert time.monotonic() - started_s < 3
        assert isinstance(waiting.exception(), SourceUnavailable)
        for one in held:
            assert one.background is not None
            assert one.background.fit(40, 30, "cover", (0, 0, 0)).shape == (30, 40, 3)

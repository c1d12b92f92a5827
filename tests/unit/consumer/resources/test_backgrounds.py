"""From what a request says of its background to pixels, with real files and a real HTTP server."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import skimage
from PIL import Image as Pillow

from consumer.jobs import Job
from consumer.resources.backgrounds import Backdrop, Backgrounds
from consumer.resources.cache import Cache
from consumer.stages.fetch import fetch
from cutstream.arrays.cpu import CpuOps
from cutstream.arrays.ops import ArrayOps
from cutstream.clients.kafka import Partition, Record
from cutstream.clients.objects.store import ObjectStore
from cutstream.clock import ManualClock
from cutstream.contract.backgrounds import Entry
from cutstream.contract.messages import Request
from cutstream.contract.options import Background
from cutstream.errors import (
    BackgroundFailed,
    BackgroundsFull,
    BackgroundUnavailable,
    CutstreamError,
    RefusedBackground,
    SourceFailed,
    SourceUnavailable,
    StoreUnavailable,
    UnknownBackground,
    UnreadableImage,
    UnusableBackground,
)
from cutstream.images import Image
from cutstream.images.decode import decode
from cutstream.images.header import Header
from cutstream.metrics import Metrics
from cutstream.settings import LimitSettings, ObjectSettings
from tests.support.back_ends import simulated
from tests.support.http_server import HttpServer, serving

COFFEE = Path(skimage.__file__).parent / "data" / "coffee.png"  # 600 × 400
RECORD = Record(Partition("requests", 0), 7, 0, None, b"", [])
AGE_S = 300.0
WHITE = (255, 255, 255)


class Decoders:
    """A DecoderPool without its processes."""

    def __init__(self) -> None:
        self.calls = 0

    def decode(self, data: bytes, header: Header) -> Image:
        self.calls += 1
        return decode(data, header)


class Site:
    """A worker's backgrounds, with an HTTP server to fetch from and a destination of its own."""

    def __init__(self, server: HttpServer, folder: Path, ops: ArrayOps, kept_bytes: int, max_pixels: int) -> None:
        self.server = server
        self.destination = folder / "out"
        self.clock = ManualClock()
        self.metrics = Metrics()
        self.decoders: Any = Decoders()
        self.entries: dict[str, Entry] = {}
        settings = ObjectSettings(
            destination=str(self.destination), file_roots=(folder / "root",), allow_private_addresses=True
        )
        self.objects = ObjectStore(settings, LimitSettings(max_source_bytes=1_000_000))
        self.backgrounds = Backgrounds(
            self._entry,
            self.objects,
            self.decoders,
            Cache(kept_bytes, self.metrics),
            ops,
            self.clock,
            age_s=AGE_S,
            max_pixels=max_pixels,
        )

    def served(self, name: str, data: bytes) -> str:
        self.server.files[name] = data
        return self.server.url(f"files/{name}")

    def added(self, name: str, data: bytes) -> Entry:
        """As `cutstream backgrounds add` does it."""
        digest = sha256(data).hexdigest()
        uri = self.objects.resolve(None, f"backgrounds/{name}-{digest[:12]}.png")
        self.objects.put(uri, data, "image/png")
        added = datetime(2030, 1, 1, tzinfo=timezone.utc)
        self.entries[name] = Entry(uri=uri, sha256=digest, bytes=len(data), width=1, height=1, added=added)
        return self.entries[name]

    def open(self, image: str) -> Backdrop:
        backdrop = self.backgrounds.open(Background(image=image))
        assert backdrop is not None
        return backdrop

    def error(self, image: str, kind: type[CutstreamError]) -> str:
        with pytest.raises(kind) as raised:
            self.open(image)
        assert type(raised.value) is kind
        assert str(raised.value).startswith("background")
        return str(raised.value)

    def _entry(self, name: str) -> Entry:
        if name not in self.entries:
            raise UnknownBackground(f"background {name!r} is not in the catalogue")
        return self.entries[name]


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with serving(HttpServer()) as server:
        yield server


@pytest.fixture
def site(server: HttpServer, tmp_path: Path) -> Site:
    return Site(server, tmp_path, CpuOps(), kept_bytes=10_000_000, max_pixels=300_000)


def png(width: int, height: int, colour: tuple[int, ...] = (10, 20, 30)) -> bytes:
    buffer = BytesIO()
    Pillow.new("RGB" if len(colour) == 3 else "RGBA", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


def shown(backdrop: Backdrop, width: int = 4, height: int = 4) -> np.ndarray:
    return backdrop.fit(width, height, "cover", WHITE)


def test_no_picture_asked_for_is_none(site: Site) -> None:
    assert site.backgrounds.open(Background(color="teal")) is None


def test_a_picture_by_address_and_by_name_are_the_same_pixels(site: Site) -> None:
    data = COFFEE.read_bytes()
    site.added("coffee", data)
    by_address, by_name = site.open(site.served("coffee.png", data)), site.open("coffee")
    pixels = by_address.fit(600, 400, "cover", WHITE)
    np.testing.assert_array_equal(pixels, np.asarray(Pillow.open(COFFEE)))
    np.testing.assert_array_equal(by_name.fit(600, 400, "cover", WHITE), pixels)


def test_what_is_transparent_lies_over_the_colour(site: Site) -> None:
    backdrop = site.open(site.served("a.png", png(2, 2, (0, 0, 0, 0))))
    for colour in (WHITE, (1, 2, 3)):
        assert (backdrop.fit(4, 4, "tile", colour) == colour).all()


def test_an_address_is_fetched_once_while_it_is_fresh(site: Site) -> None:
    address = site.served("a.png", png(2, 2))
    for _ in range(3):
        site.open(address)
    site.clock.sleep(AGE_S - 1)
    site.open(address)
    assert (len(site.server.seen), site.decoders.calls) == (1, 1)


def test_an_address_is_fetched_anew_when_it_is_old_and_shows_what_is_there_now(site: Site) -> None:
    address = site.served("a.png", png(2, 2))
    before = site.open(address)
    assert (shown(before) == (10, 20, 30)).all()
    site.served("a.png", png(2, 2, (9, 9, 9)))
    site.clock.sleep(AGE_S)
    assert (shown(site.open(address)) == 9).all()
    assert (shown(before) == (10, 20, 30)).all()


def test_a_name_is_never_fetched_anew_until_it_stands_for_another_picture(site: Site) -> None:
    site.added("beach", png(2, 2))
    site.open("beach")
    site.clock.sleep(10 * AGE_S)
    site.open("beach")
    assert site.decoders.calls == 1
    site.added("beach", png(2, 2, (9, 9, 9)))
    assert (shown(site.open("beach")) == 9).all()


def test_each_size_fit_and_colour_is_fitted_once(site: Site) -> None:
    backdrop = site.open(site.served("a.png", png(4, 2)))
    first = backdrop.fit(8, 8, "contain", WHITE)
    assert backdrop.fit(8, 8, "contain", WHITE) is first
    others = [
        backdrop.fit(8, 9, "contain", WHITE),
        backdrop.fit(8, 8, "cover", WHITE),
        backdrop.fit(8, 8, "contain", (0, 0, 0)),
    ]
    assert all(other is not first for other in others)
    # Where no colour shows, all colours are one.
    assert backdrop.fit(8, 8, "cover", (0, 0, 0)) is others[1]


def test_many_at_once_fetch_it_once(site: Site) -> None:
    address = site.served("a.png", png(2, 2))
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(site.open, [address] * 64))
    assert (len(site.server.seen), site.decoders.calls) == (1, 1)


def test_on_a_device_a_fitted_picture_goes_up_once_and_stays(server: HttpServer, tmp_path: Path) -> None:
    ops, device = simulated()
    site = Site(server, tmp_path, ops, kept_bytes=10_000_000, max_pixels=300_000)
    address = site.served("a.png", png(6, 5, (1, 2, 3, 128)))
    results = [site.open(address).fit(7, 7, "cover", WHITE) for _ in range(3)]
    assert isinstance(results[0], ops.xp.ndarray)
    assert all(result is results[0] for result in results)
    assert sorted(device.uploads) == [30, 90]
    assert device.downloads == []


@pytest.mark.parametrize(
    ("page", "kind", "words"),
    [
        ("status/404", BackgroundFailed, "answered 404"),
        ("status/503", BackgroundUnavailable, "answered 503"),
        ("hangs_up", BackgroundUnavailable, ""),
        ("declares/2000000", UnusableBackground, "at most 1000000"),
    ],
)
def test_an_address_that_fails(site: Site, page: str, kind: type[CutstreamError], words: str) -> None:
    assert words in site.error(site.server.url(page), kind)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GIF89a", "not an image of an accepted format"),
        (b"", "empty"),
        (png(2, 2)[:40], "truncated"),
        (png(1000, 301), "limit is 0.3"),
    ],
)
def test_a_file_that_is_no_picture_or_too_large_is_the_backgrounds_fault(site: Site, data: bytes, words: str) -> None:
    assert words in site.error(site.served("a.png", data), UnusableBackground)


def test_a_picture_too_large_is_refused_before_it_is_decoded(site: Site) -> None:
    site.error(site.served("a.png", png(1000, 301)), UnusableBackground)
    assert site.decoders.calls == 0


def test_a_picture_that_crashes_its_decoder_is_the_backgrounds_fault(site: Site) -> None:
    def crash(data: bytes, header: Header) -> Image:
        raise UnreadableImage("the decoder crashed on this png")

    site.decoders = site.backgrounds._decoders = SimpleNamespace(decode=crash)  # type: ignore[assignment]
    assert "crashed" in site.error(site.served("a.png", png(2, 2)), UnusableBackground)


@pytest.mark.parametrize("address", ["ftp://host/a.png", "file:///etc/passwd", "s3://", "http://user@127.0.0.1/a.png"])
def test_an_address_that_is_not_allowed_is_refused_as_a_source_would_be(site: Site, address: str) -> None:
    site.error(address, RefusedBackground)


def test_private_addresses_are_refused(server: HttpServer, site: Site) -> None:
    site.backgrounds._objects = ObjectStore(ObjectSettings(), LimitSettings())
    site.error(site.served("a.png", png(2, 2)), RefusedBackground)
    assert server.seen == []


def test_a_request_cannot_read_the_own_store_by_address(site: Site) -> None:
    entry = site.added("beach", png(2, 2))
    site.open("beach")
    site.error(entry.uri, RefusedBackground)


def test_a_retry_hint_is_passed_on(site: Site) -> None:
    with pytest.raises(BackgroundUnavailable) as raised:
        site.open(site.server.url("busy/7"))
    assert raised.value.retry_after_s == 7


def test_a_name_that_is_not_there(site: Site) -> None:
    assert "'beech'" in site.error("beech", UnknownBackground)


def test_a_picture_of_the_catalogue_that_is_gone_or_changed(site: Site) -> None:
    entry = site.added("beach", png(2, 2))
    (path,) = (site.destination / "backgrounds").iterdir()
    path.write_bytes(png(2, 3))
    assert f"'beach': {entry.uri} is no longer" in site.error("beach", BackgroundFailed)
    path.unlink()
    assert "'beach'" in site.error("beach", BackgroundFailed)


def test_our_own_store_is_waited_for_without_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.added("beach", png(2, 2))

    def away(uri: str) -> bytes:
        raise SourceUnavailable("connection refused", 3.0)

    monkeypatch.setattr(site.objects, "fetch_own", away)
    with pytest.raises(StoreUnavailable, match="background 'beach': connection refused") as raised:
        site.open("beach")
    assert raised.value.retry_after_s == 3


def test_pictures_in_use_never_take_more_room_than_there_is(server: HttpServer, tmp_path: Path) -> None:
    """Room for one of the largest, though nothing is kept."""
    site = Site(server, tmp_path, CpuOps(), kept_bytes=0, max_pixels=10_000)
    first = site.open(site.served("a.png", png(100, 60)))
    second = site.served("b.png", png(100, 60))
    with pytest.raises(BackgroundsFull, match="CUTSTREAM_WORKER__BACKGROUND_BYTES"):
        site.open(second)
    assert (shown(first) == (10, 20, 30)).all()
    del first
    gc.collect()  # an error's traceback may still hold it
    site.open(second)


def test_kept_pictures_make_room_for_those_in_use(server: HttpServer, tmp_path: Path) -> None:
    site = Site(server, tmp_path, CpuOps(), kept_bytes=40_000, max_pixels=10_000)
    for name in ("a.png", "b.png", "c.png"):
        site.open(site.served(name, png(100, 60)))
    assert site.decoders.calls == 3


def test_a_picture_that_fails_gives_its_room_back(server: HttpServer, tmp_path: Path) -> None:
    site = Site(server, tmp_path, CpuOps(), kept_bytes=0, max_pixels=10_000)
    for _ in range(3):
        site.error(site.served("a.png", png(100, 100)[:60]), UnusableBackground)
    site.open(site.served("b.png", png(100, 100)))


def test_fetch_gives_the_job_its_backdrop_and_keeps_it_when_the_source_is_tried_again(site: Site) -> None:
    request = Request(image=site.served("photo", b"photo"), background=Background(image=site.served("a", png(2, 2))))
    job = Job(record=RECORD, request=request, id="a", profile="fast")
    photo = site.server.files.pop("photo")
    with pytest.raises(SourceFailed):
        fetch(site.objects, site.backgrounds, site.metrics, job, request)
    backdrop = job.backdrop
    assert backdrop is not None
    site.served("photo", photo)
    assert fetch(site.objects, site.backgrounds, site.metrics, job, request) == b"photo"
    assert job.backdrop is backdrop
    plain = Job(record=RECORD, request=Request(image=request.image), id="b", profile="fast")
    fetch(site.objects, site.backgrounds, site.metrics, plain, plain.request)
    assert plain.backdrop is None

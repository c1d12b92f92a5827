"""Backgrounds by address and by catalogue name become pixels; with real files and a real HTTP server."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
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

from consumer.resources.backgrounds import BackgroundStore, OpenedBackground
from consumer.resources.cache import Cache
from consumer.resources.sources import Sources
from consumer.stages.fetch import Fetch
from cutstream.arrays.cpu import CpuOps
from cutstream.arrays.ops import ArrayOps
from cutstream.clients.objects.store import ObjectStore
from cutstream.clock import ManualClock
from cutstream.contract.backgrounds import Entry
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
from cutstream.images import Image, ImageWarning
from cutstream.images.decode import decode
from cutstream.images.header import Header
from cutstream.metrics import Metrics
from cutstream.settings import LimitSettings, ObjectSettings
from tests.support.back_ends import simulated
from tests.support.http_server import HttpServer, serving
from tests.support.jobs import job_of

COFFEE = Path(skimage.__file__).parent / "data" / "coffee.png"  # 600 × 400
AGE_S = 300.0
WHITE = (255, 255, 255)


class Decoders:
    """A stand-in for DecoderPool without processes. It counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def decode(self, data: bytes, header: Header) -> Image:
        self.calls += 1
        return decode(data, header)


class Site:
    """A worker's BackgroundStore, with an HTTP server to fetch from and a destination to store in."""

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
        self.sources = Sources(self.objects, 32, self.clock)
        self.backgrounds = BackgroundStore(
            self._entry,
            self.sources,
            self.decoders,
            Cache(kept_bytes, self.metrics),
            ops,
            self.clock,
            max_age_s=AGE_S,
            max_pixels=max_pixels,
        )

    def serve(self, name: str, data: bytes) -> str:
        self.server.files[name] = data
        return self.server.url(f"files/{name}")

    def add(self, name: str, data: bytes) -> Entry:
        """Add a picture to the catalogue, as `cutstream backgrounds add` does."""
        digest = sha256(data).hexdigest()
        uri = self.objects.resolve(None, f"backgrounds/{name}-{digest[:12]}.png")
        self.objects.put(uri, data, "image/png")
        added = datetime(2030, 1, 1, tzinfo=timezone.utc)
        self.entries[name] = Entry(uri=uri, sha256=digest, bytes=len(data), width=1, height=1, added=added)
        return self.entries[name]

    def open(self, picture: str) -> OpenedBackground:
        return self.backgrounds.open(picture)

    def error(self, picture: str, kind: type[CutstreamError]) -> str:
        """Return the message of the error that `open` raises, whose type must be exactly `kind`."""
        with pytest.raises(kind) as raised:
            self.open(picture)
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


def shown(background: OpenedBackground, width: int = 4, height: int = 4) -> np.ndarray:
    return background.fit(width, height, "cover", WHITE)


def test_a_picture_has_the_same_pixels_by_address_and_by_name(site: Site) -> None:
    data = COFFEE.read_bytes()
    site.add("coffee", data)
    by_address, by_name = site.open(site.serve("coffee.png", data)), site.open("coffee")
    pixels = by_address.fit(600, 400, "cover", WHITE)
    np.testing.assert_array_equal(pixels, np.asarray(Pillow.open(COFFEE)))
    np.testing.assert_array_equal(by_name.fit(600, 400, "cover", WHITE), pixels)


def test_transparent_pixels_show_the_colour(site: Site) -> None:
    background = site.open(site.serve("a.png", png(2, 2, (0, 0, 0, 0))))
    for colour in (WHITE, (1, 2, 3)):
        assert (background.fit(4, 4, "tile", colour) == colour).all()


def test_an_address_is_fetched_once_while_it_is_fresh(site: Site) -> None:
    address = site.serve("a.png", png(2, 2))
    for _ in range(3):
        site.open(address)
    site.clock.sleep(AGE_S - 1)
    site.open(address)
    assert (len(site.server.seen), site.decoders.calls) == (1, 1)


def test_an_address_is_fetched_again_when_its_picture_is_too_old(site: Site) -> None:
    address = site.serve("a.png", png(2, 2))
    before = site.open(address)
    assert (shown(before) == (10, 20, 30)).all()
    site.serve("a.png", png(2, 2, (9, 9, 9)))
    site.clock.sleep(AGE_S)
    assert (shown(site.open(address)) == 9).all()
    assert (shown(before) == (10, 20, 30)).all()


def test_a_name_is_fetched_again_only_when_it_names_another_picture(site: Site) -> None:
    site.add("beach", png(2, 2))
    site.open("beach")
    site.clock.sleep(10 * AGE_S)
    site.open("beach")
    assert site.decoders.calls == 1
    site.add("beach", png(2, 2, (9, 9, 9)))
    assert (shown(site.open("beach")) == 9).all()


def test_a_picture_is_fitted_once_per_size_fit_and_colour(site: Site) -> None:
    background = site.open(site.serve("a.png", png(4, 2)))
    first = background.fit(8, 8, "contain", WHITE)
    assert background.fit(8, 8, "contain", WHITE) is first
    others = [
        background.fit(8, 9, "contain", WHITE),
        background.fit(8, 8, "cover", WHITE),
        background.fit(8, 8, "contain", (0, 0, 0)),
    ]
    assert all(other is not first for other in others)
    # The colour makes no difference where it is not visible.
    assert background.fit(8, 8, "cover", (0, 0, 0)) is others[1]


def test_concurrent_requests_fetch_a_picture_once(site: Site) -> None:
    address = site.serve("a.png", png(2, 2))
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(site.open, [address] * 64))
    assert (len(site.server.seen), site.decoders.calls) == (1, 1)


def test_a_fitted_picture_is_uploaded_once_and_stays_on_the_device(server: HttpServer, tmp_path: Path) -> None:
    ops, device = simulated()
    site = Site(server, tmp_path, ops, kept_bytes=10_000_000, max_pixels=300_000)
    address = site.serve("a.png", png(6, 5, (1, 2, 3, 128)))
    results = [site.open(address).fit(7, 7, "cover", WHITE) for _ in range(3)]
    assert isinstance(results[0], ops.xp.ndarray)
    assert all(result is results[0] for result in results)
    assert sorted(device.uploads) == [30, 90]
    assert device.downloads == []


@pytest.mark.parametrize(
    ("page", "kind", "message"),
    [
        ("status/404", BackgroundFailed, "answered 404"),
        ("status/503", BackgroundUnavailable, "answered 503"),
        ("hangs_up", BackgroundUnavailable, ""),
        ("declares/2000000", UnusableBackground, "at most 1000000"),
    ],
)
def test_an_address_that_fails_is_a_background_error(
    site: Site, page: str, kind: type[CutstreamError], message: str
) -> None:
    assert message in site.error(site.server.url(page), kind)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"%PDF-1.7", "not an image of an accepted format but a PDF"),
        (b"", "empty"),
        (png(2, 2)[:40], "truncated"),
        (png(1000, 301), "limit is 0.3"),
    ],
)
def test_a_file_that_is_too_large_or_not_an_image_is_an_unusable_background(
    site: Site, data: bytes, message: str
) -> None:
    assert message in site.error(site.serve("a.png", data), UnusableBackground)


def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded(site: Site) -> None:
    site.error(site.serve("a.png", png(1000, 301)), UnusableBackground)
    assert site.decoders.calls == 0


def test_a_picture_that_crashes_its_decoder_is_an_unusable_background(site: Site) -> None:
    def crash(data: bytes, header: Header) -> Image:
        raise UnreadableImage("the decoder crashed on this png")

    site.decoders = site.backgrounds._decoders = SimpleNamespace(decode=crash)  # type: ignore[assignment]
    assert "crashed" in site.error(site.serve("a.png", png(2, 2)), UnusableBackground)


@pytest.mark.parametrize("address", ["ftp://host/a.png", "file:///etc/passwd", "s3://", "http://user@127.0.0.1/a.png"])
def test_an_address_that_is_not_allowed_for_a_photo_is_refused(site: Site, address: str) -> None:
    site.error(address, RefusedBackground)


@pytest.mark.parametrize(("address", "points_to"), [("ftp://host/a.png", "request"), ("file:///etc/a", "settings")])
def test_only_an_address_that_the_settings_refuse_points_to_them(site: Site, address: str, points_to: str) -> None:
    with pytest.raises(RefusedBackground) as raised:
        site.open(address)
    assert raised.value.points_to == points_to


def test_private_addresses_are_refused(server: HttpServer, site: Site) -> None:
    site.backgrounds._sources = Sources(ObjectStore(ObjectSettings(), LimitSettings()), 32, site.clock)
    site.error(site.serve("a.png", png(2, 2)), RefusedBackground)
    assert server.seen == []


def test_a_request_cannot_read_our_own_store_by_address(site: Site) -> None:
    entry = site.add("beach", png(2, 2))
    site.open("beach")
    site.error(entry.uri, RefusedBackground)


def test_the_retry_hint_of_a_server_is_passed_on(site: Site) -> None:
    with pytest.raises(BackgroundUnavailable) as raised:
        site.open(site.server.url("busy/7"))
    assert raised.value.retry_after_s == 7


def test_an_unknown_name_is_an_error_with_the_name(site: Site) -> None:
    assert "'beech'" in site.error("beech", UnknownBackground)


def test_a_missing_or_changed_file_of_the_catalogue_is_an_error(site: Site) -> None:
    entry = site.add("beach", png(2, 2))
    (path,) = (site.destination / "backgrounds").iterdir()
    path.write_bytes(png(2, 3))
    assert f"'beach': {entry.uri} is no longer" in site.error("beach", BackgroundFailed)
    path.unlink()
    assert "'beach'" in site.error("beach", BackgroundFailed)


def test_our_own_store_is_waited_for_without_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.add("beach", png(2, 2))

    def refuse_connection(uri: str) -> bytes:
        raise SourceUnavailable("connection refused", 3.0)

    monkeypatch.setattr(site.objects, "fetch_own", refuse_connection)
    with pytest.raises(StoreUnavailable, match="background 'beach': connection refused") as raised:
        site.open("beach")
    assert raised.value.retry_after_s == 3


def test_whoever_waits_holds_no_decoded_picture(server: HttpServer, tmp_path: Path) -> None:
    """One request after the other opens a picture as large as all the memory, and keeps it while the next ones come."""
    site = Site(server, tmp_path, CpuOps(), kept_bytes=0, max_pixels=10_000)
    waiting = [site.open(site.serve(f"{n}.png", png(100, 100, (n, n, n)))) for n in range(20)]
    assert site.backgrounds._memory._used == 0
    for n, background in enumerate(waiting):
        assert (shown(background) == n).all()
    assert site.decoders.calls == 40  # to check it, and to fit it: the cache keeps nothing here


def test_a_picture_that_is_still_cached_is_not_decoded_again(site: Site) -> None:
    opened = site.open(site.serve("a.png", png(100, 100)))
    shown(opened)
    shown(opened, 5, 5)
    assert site.decoders.calls == 1


def test_pictures_being_decoded_never_exceed_their_memory_limit(server: HttpServer, tmp_path: Path) -> None:
    """There is memory for one picture of the largest accepted size, although the cache keeps nothing."""
    site = Site(server, tmp_path, CpuOps(), kept_bytes=0, max_pixels=10_000)
    first, second = site.serve("a.png", png(100, 60)), site.serve("b.png", png(100, 60, WHITE))
    decoding, finish = threading.Event(), threading.Event()

    def decode_slowly(data: bytes, header: Header) -> Image:
        decoding.set()
        assert finish.wait(10)
        return decode(data, header)

    site.decoders.decode = decode_slowly
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(site.open, first)
        assert decoding.wait(10)
        with pytest.raises(BackgroundsFull, match="CUTSTREAM_WORKER__BACKGROUND_BYTES"):
            site.open(second)
        finish.set()
        assert (shown(opening.result(10)) == (10, 20, 30)).all()
    gc.collect()  # a traceback may still refer to the picture
    site.open(second)


def test_a_background_that_cannot_be_decoded_again_is_a_background_error(server: HttpServer, tmp_path: Path) -> None:
    site = Site(server, tmp_path, CpuOps(), kept_bytes=0, max_pixels=10_000)
    background = site.open(site.serve("a.png", png(100, 60)))

    def crash(data: bytes, header: Header) -> Image:
        raise UnreadableImage("the decoder crashed on this png")

    site.decoders.decode = crash
    with pytest.raises(UnusableBackground, match="background: the decoder crashed"):
        shown(background)


def test_cached_pictures_are_dropped_for_pictures_in_use(server: HttpServer, tmp_path: Path) -> None:
    site = Site(server, tmp_path, CpuOps(), kept_bytes=40_000, max_pixels=10_000)
    for n in range(3):
        site.open(site.serve(f"{n}.png", png(100, 60, (n, n, n))))
    assert site.decoders.calls == 3


def test_a_picture_that_fails_gives_its_memory_back(server: HttpServer, tmp_path: Path) -> None:
    site = Site(server, tmp_path, CpuOps(), kept_bytes=0, max_pixels=10_000)
    for _ in range(3):
        site.error(site.serve("a.png", png(100, 100)[:60]), UnusableBackground)
    site.open(site.serve("b.png", png(100, 100)))


def test_fetch_asks_for_no_background_before_it_has_the_photo(site: Site) -> None:
    source = site.serve("photo", b"photo")
    job = job_of(
        image=source, outputs=("composite",), background=Background(image=site.serve("a", png(2, 2, (9, 9, 9))))
    )
    photo = site.server.files.pop("photo")
    fetch = Fetch(site.sources, site.backgrounds, site.metrics)
    with pytest.raises(SourceFailed):
        fetch(job, job.recipe)
    assert site.decoders.calls == 0
    site.serve("photo", photo)
    fetched = fetch(job, job.recipe)
    assert fetched.data == b"photo"
    assert fetched.background is not None
    assert (shown(fetched.background) == 9).all()
    plain = job_of(image=source)
    assert fetch(plain, plain.recipe).background is None


def test_the_warnings_about_a_background_say_that_they_are_about_it(site: Site) -> None:
    def decode_with_warning(data: bytes, header: Header) -> Image:
        return replace(decode(data, header), warnings=(ImageWarning("damaged_data", "no end marker"),))

    site.decoders.decode = decode_with_warning
    job = job_of(
        image=site.serve("photo", b"photo"),
        outputs=("composite",),
        background=Background(image=site.serve("a", png(2, 2))),
    )
    fetch = Fetch(site.sources, site.backgrounds, site.metrics)
    expected = (ImageWarning("damaged_data", "background: no end marker"),)
    assert [fetch(job, job.recipe).warnings for _ in range(2)] == [expected] * 2, "from the cache as well"

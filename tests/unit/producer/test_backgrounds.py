"""Add and remove backgrounds, with a stand-in for the topic; tests/integration/kafka has real brokers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image as Pillow

from cutstream.clients.kafka import NoTopic
from cutstream.clock import ManualClock
from cutstream.contract.backgrounds import Entry, apply
from cutstream.errors import (
    CutstreamError,
    FileTooLarge,
    InvalidOption,
    RefusedAddress,
    ResolutionTooHigh,
    SourceFailed,
    UnknownBackground,
    UnreadableImage,
    UnsupportedImage,
)
from cutstream.settings import KafkaSettings, LimitSettings, ObjectSettings, Settings
from producer import backgrounds
from producer.backgrounds import add, remove

COFFEE = Path(skimage.__file__).parent / "data" / "coffee.png"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        objects=ObjectSettings(destination=str(tmp_path / "out")),
        limits=LimitSettings(max_source_bytes=1_000_000, max_source_pixels=300_000),
    )


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> dict[str, Entry]:
    """Stand for the topic: every write is applied at once."""
    entries: dict[str, Entry] = {}

    def write(settings: KafkaSettings, topic: str, records: Mapping[str, bytes | None]) -> None:
        for name, value in records.items():
            apply(entries, name.encode(), value or b"")

    monkeypatch.setattr(backgrounds, "list_entries", lambda settings: dict(entries))
    monkeypatch.setattr(backgrounds, "write_entries", write)
    return entries


def stored(settings: Settings) -> list[str]:
    return sorted(path.name for path in Path(settings.objects.destination).rglob("*.*"))


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., str]:
    def saved(format: str, width: int = 30, height: int = 20, **options: object) -> str:
        path = tmp_path / f"picture.{format}"
        pixels = np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)
        buffer = BytesIO()
        Pillow.fromarray(pixels).save(buffer, format, **options)
        path.write_bytes(buffer.getvalue())
        return str(path)

    return saved


def test_a_picture_is_stored_unchanged_and_gets_its_name(settings: Settings, entries: dict[str, Entry]) -> None:
    clock = ManualClock()
    entry = add(settings, "coffee", str(COFFEE), clock)
    data = COFFEE.read_bytes()
    digest = sha256(data).hexdigest()
    assert entries == {"coffee": entry}
    assert (entry.sha256, entry.bytes, entry.width, entry.height) == (digest, len(data), 600, 400)
    assert entry.added.timestamp() == int(clock.wall())
    assert entry.uri == f"{Path(settings.objects.destination).as_uri()}/backgrounds/coffee-{digest[:12]}.png"
    assert Path(settings.objects.destination, "backgrounds", f"coffee-{digest[:12]}.png").read_bytes() == data


@pytest.mark.parametrize(("format", "extension"), [("jpeg", "jpg"), ("webp", "webp"), ("tiff", "tiff")])
def test_the_extension_follows_the_format(
    settings: Settings, entries: dict[str, Entry], picture: Callable[..., str], format: str, extension: str
) -> None:
    assert add(settings, "a", picture(format), ManualClock()).uri.endswith(f".{extension}")


def test_the_size_is_that_of_the_upright_picture(
    settings: Settings, entries: dict[str, Entry], picture: Callable[..., str]
) -> None:
    turned = Pillow.Exif()
    turned[0x0112] = 6
    entry = add(settings, "a", picture("jpeg", 30, 20, exif=turned), ManualClock())
    assert (entry.width, entry.height) == (20, 30)


def test_a_new_picture_for_a_name_leaves_the_first_in_the_store(
    settings: Settings, entries: dict[str, Entry], picture: Callable[..., str]
) -> None:
    first, second = (add(settings, "a", source, ManualClock()) for source in (picture("png"), picture("webp")))
    assert entries == {"a": second}
    assert stored(settings) == sorted(Path(entry.uri).name for entry in (first, second))


@pytest.mark.parametrize(
    ("name", "source", "kind"),
    [
        ("a b", str(COFFEE), InvalidOption),
        ("s3://a", str(COFFEE), InvalidOption),
        ("a", "/no/such/file.png", SourceFailed),
        ("a", str(COFFEE.parent), SourceFailed),
        ("a", __file__, UnsupportedImage),
        ("a", "file:///etc/hostname", RefusedAddress),
        ("a", "http://127.0.0.1:9/a.png", RefusedAddress),
    ],
)
def test_an_invalid_background_is_neither_stored_nor_named(
    settings: Settings, entries: dict[str, Entry], name: str, source: str, kind: type[CutstreamError]
) -> None:
    with pytest.raises(kind):
        add(settings, name, source, ManualClock())
    assert (entries, stored(settings)) == ({}, [])


def test_the_limits_of_photos_apply(settings: Settings, entries: dict[str, Entry], picture: Callable[..., str]) -> None:
    with pytest.raises(ResolutionTooHigh):
        add(settings, "a", picture("png", 1000, 301), ManualClock())
    small = settings.model_copy(update={"limits": LimitSettings(max_source_bytes=100)})
    with pytest.raises(FileTooLarge):
        add(small, "a", picture("png"), ManualClock())


def test_a_picture_that_does_not_decode_is_refused(
    settings: Settings, entries: dict[str, Entry], picture: Callable[..., str]
) -> None:
    path = Path(picture("png", 100, 100))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UnreadableImage):
        add(settings, "a", str(path), ManualClock())
    assert (entries, stored(settings)) == ({}, [])


def test_without_the_topic_nothing_is_stored(
    settings: Settings, entries: dict[str, Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(settings: KafkaSettings) -> dict[str, Entry]:
        raise NoTopic("no such topic")

    monkeypatch.setattr(backgrounds, "list_entries", missing)
    with pytest.raises(NoTopic):
        add(settings, "a", str(COFFEE), ManualClock())
    assert stored(settings) == []


def test_removing_a_name_leaves_the_picture(settings: Settings, entries: dict[str, Entry]) -> None:
    entry = add(settings, "coffee", str(COFFEE), ManualClock())
    with pytest.raises(UnknownBackground, match="did you mean `coffee`"):
        remove(settings.kafka, "cofee")
    assert remove(settings.kafka, "coffee") == entry
    assert entries == {}
    assert stored(settings) == [Path(entry.uri).name]
    with pytest.raises(UnknownBackground):
        remove(settings.kafka, "coffee")

"""The addresses of strangers: no field that names one leads to the inner network, or out of its folders.

Every row says how an address is refused. Real listeners on the loopback interface count who comes.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from consumer.intake.addresses import check_addresses
from cutstream.clients.objects import guard
from cutstream.clients.objects.names import resolver
from cutstream.clients.objects.store import ObjectStore
from cutstream.contract.messages import Request
from cutstream.contract.options import Background
from cutstream.contract.recipe import parse_recipe
from cutstream.errors import (
    AddressNotAllowed,
    CutstreamError,
    InvalidOption,
    NoSuchHost,
    RefusedAddress,
    RefusedBackground,
    RefusedDestination,
)
from cutstream.settings import LimitSettings, ObjectSettings
from tests.support.dns_server import DnsServer, serving_names
from tests.support.http_server import HttpServer, serving
from tests.support.jobs import job_of

PUBLIC = "127.0.0.3"  # plays the internet
NAMES = {
    "loopback.example": ["127.0.0.1"],
    "loopback6.example": ["::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "mixed.example": [PUBLIC, "127.0.0.1"],
    "alias.example": ["loopback.example"],
    "alias-of-alias.example": ["alias.example"],
    "metadata.example": ["169.254.169.254"],
    "zero.example": ["0.0.0.0"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "public.example": [PUBLIC],
}

MALFORMED, CLOSED, ABSENT = RefusedAddress, AddressNotAllowed, NoSuchHost
WEB: list[tuple[str, type[CutstreamError]]] = [
    # spellings of loopback and of other inner addresses
    ("http://127.0.0.1:{port}/", CLOSED),
    ("http://127.0.0.1:0{port}/", MALFORMED),
    ("http://127.8.9.10:{port}/", CLOSED),
    ("http://127.1:{port}/", MALFORMED),
    ("http://127.0.1:{port}/", MALFORMED),
    ("http://2130706433:{port}/", MALFORMED),
    ("http://017700000001:{port}/", MALFORMED),
    ("http://0x7f000001:{port}/", MALFORMED),
    ("http://0x7f.0x0.0x0.0x1:{port}/", MALFORMED),
    ("http://0177.0.0.1:{port}/", MALFORMED),
    ("http://127.0.0.0x1:{port}/", MALFORMED),
    ("http://127.0.0.1.:{port}/", MALFORMED),
    ("http://127.0.0.257:{port}/", MALFORMED),
    ("http://4294967297:{port}/", MALFORMED),
    ("http://0:{port}/", MALFORMED),
    ("http://0.0.0.0:{port}/", CLOSED),
    ("http://１２７.０.０.１:{port}/", CLOSED),
    ("http://①②⑦.⓪.⓪.①:{port}/", CLOSED),
    ("http://127。0。0。1:{port}/", CLOSED),
    ("http://127%2e0%2e0%2e1:{port}/", MALFORMED),
    ("http://%31%32%37.0.0.1:{port}/", MALFORMED),
    ("http://127.0.0.1%00.example:{port}/", MALFORMED),
    ("http://[::1]:{port}/", CLOSED),
    ("http://[::]:{port}/", CLOSED),
    ("http://[0:0:0:0:0:0:0:1]:{port}/", CLOSED),
    ("http://[::ffff:127.0.0.1]:{port}/", CLOSED),
    ("http://[::ffff:7f00:1]:{port}/", CLOSED),
    ("http://[::127.0.0.1]:{port}/", CLOSED),
    ("http://[64:ff9b::127.0.0.1]:{port}/", CLOSED),
    ("http://[64:ff9b:1::7f00:1]:{port}/", CLOSED),
    ("http://[2002:7f00:1::]:{port}/", CLOSED),
    ("http://[2001:0:7f00:1::]:{port}/", CLOSED),
    ("http://[2a00::5efe:127.0.0.1]:{port}/", CLOSED),
    ("http://[::ffff:0:127.0.0.1]:{port}/", CLOSED),
    ("http://[fe80::1]:{port}/", CLOSED),
    ("http://[::1%25lo]:{port}/", MALFORMED),
    ("http://[::1%lo]:{port}/", MALFORMED),
    ("http://[127.0.0.1]:{port}/", MALFORMED),
    ("http://169.254.169.254/latest/meta-data/", CLOSED),
    ("http://[fd00:ec2::254]/latest/meta-data/", CLOSED),
    ("http://100.100.100.200/latest/meta-data/", CLOSED),
    ("http://168.63.129.16/machine/", CLOSED),
    ("http://192.0.0.192/opc/v2/", CLOSED),
    ("http://10.0.0.1:{port}/", CLOSED),
    ("http://255.255.255.255/", CLOSED),
    # names
    ("http://localhost:{port}/", CLOSED),
    ("http://LOCALHOST:{port}/", CLOSED),
    ("http://ｌｏｃａｌｈｏｓｔ:{port}/", CLOSED),
    ("http://loopback.example:{port}/", CLOSED),
    ("http://loopback.example.:{port}/", CLOSED),
    ("http://loopback6.example:{port}/", CLOSED),
    ("http://mapped.example:{port}/", CLOSED),
    ("http://mixed.example:{port}/", CLOSED),
    ("http://alias.example:{port}/", CLOSED),
    ("http://alias-of-alias.example:{port}/", CLOSED),
    ("http://metadata.example/", CLOSED),
    ("http://zero.example:{port}/", CLOSED),
    ("http://nat64.example:{port}/", CLOSED),
    ("http://missing.example:{port}/", ABSENT),
    # who is the host?
    ("http://public.example@127.0.0.1:{port}/", MALFORMED),
    ("http://127.0.0.1:{port}@public.example/", MALFORMED),
    ("http://public.example:80@127.0.0.1:{port}/", MALFORMED),
    ("http://public.example%40127.0.0.1:{port}/", MALFORMED),
    ("http://127.0.0.1:{port}\\@public.example/", CLOSED),
    ("http://127.0.0.1:{port}#@public.example/", CLOSED),
    ("http://127.0.0.1:{port}?@public.example/", CLOSED),
    ("http:\\\\127.0.0.1:{port}/", MALFORMED),
    ("http:/127.0.0.1:{port}/", MALFORMED),
    ("http:///127.0.0.1:{port}/", MALFORMED),
    ("http://127.0.0.1:{port}:80/", MALFORMED),
    ("http://127.0.0.1:-{port}/", MALFORMED),
    ("http://127.0.0.1:99999/", MALFORMED),
    ("http://127.0.0.1 .example:{port}/", MALFORMED),
    ("hTTp://127.0.0.1:{port}/", CLOSED),
    ("http://" + "a" * 70 + ".example/", MALFORMED),
    ("http://" + "a." * 140 + "example/", MALFORMED),
    # other schemes
    ("ftp://127.0.0.1:{port}/", MALFORMED),
    ("gopher://127.0.0.1:{port}/_GET", MALFORMED),
    ("dict://127.0.0.1:{port}/", MALFORMED),
    ("ws://127.0.0.1:{port}/", MALFORMED),
    ("jar:http://127.0.0.1:{port}/!/", MALFORMED),
    ("data:image/png;base64,AAAA", MALFORMED),
    ("javascript://127.0.0.1:{port}/", MALFORMED),
    ("unix:///var/run/docker.sock", MALFORMED),
]
PLACES: list[tuple[str, type[CutstreamError]]] = [
    # files: `{root}` is allowed, and holds a link to what is beside it
    ("file:///etc/passwd", CLOSED),
    ("file:///proc/self/environ", CLOSED),
    ("file:///dev/zero", CLOSED),
    ("file://{root}/../secret", CLOSED),
    ("file://{root}/..%2fsecret", CLOSED),
    ("file://{root}/%2e%2e/secret", CLOSED),
    ("file://{root}/%2E%2E%2Fsecret", CLOSED),
    ("file:///..%2f..%2fetc/passwd", CLOSED),
    ("file://{root}/a/../../secret", CLOSED),
    ("file://{root}/link/secret", CLOSED),
    ("file://{root}side/secret", CLOSED),
    ("file:////etc/passwd", CLOSED),
    ("FILE:///etc/passwd", CLOSED),
    ("file://localhost/etc/passwd", CLOSED),
    ("file://127.0.0.1/etc/passwd", MALFORMED),
    ("file://host/share/photo.jpg", MALFORMED),
    ("file:/etc/passwd", MALFORMED),
    ("file:etc/passwd", MALFORMED),
    ("file://etc", MALFORMED),
    ("file://{root}/a%00/../../etc/passwd", MALFORMED),
    ("file:///" + "a/" * 70, MALFORMED),
    ("file:///" + "a" * 300, MALFORMED),
    ("\\\\host\\share\\photo.jpg", MALFORMED),
    ("//host/share/photo.jpg", MALFORMED),
    ("/etc/passwd", MALFORMED),
    ("C:\\secret", MALFORMED),
    # buckets: s3://shop is allowed
    ("s3://other/a", CLOSED),
    ("s3://shop.example/a", CLOSED),
    ("gs://shop/a", CLOSED),
    ("s3://shop/../other/a", MALFORMED),
    ("s3://shop/a/./b", MALFORMED),
    ("s3://shop//a", MALFORMED),
    ("s3://../a", MALFORMED),
    ("s3://shop@127.0.0.1/a", MALFORMED),
    ("s3://127.0.0.1:{port}/a", MALFORMED),
    ("s3://shop%2f..%2fother/a", MALFORMED),
    ("s3://shop\\other/a", MALFORMED),
    ("s3:///a", MALFORMED),
    ("s3://shop/" + "a/" * 600 + "a", MALFORMED),
]
CONTROLS = [
    "http://127.0.0.1\t:{port}/",
    "http://127.0.0.1\n:{port}/",
    "http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: x",
    "http://127.0.0.1\0.example/",
    "ht\ntp://127.0.0.1:{port}/",
    "file:///etc\0/passwd",
    "s3://shop/a\nb",
]


class Listener:
    """Listens on a port of 127.0.0.1 and ::1, and counts who comes."""

    def __init__(self) -> None:
        self.connections = 0
        four = socket.create_server(("127.0.0.1", 0), reuse_port=False)
        self.port = four.getsockname()[1]
        self._sockets = [four]
        with suppress(OSError):  # a machine without IPv6
            self._sockets.append(socket.create_server(("::1", self.port), family=socket.AF_INET6))
        self._threads = [threading.Thread(target=self._count, args=(sock,), daemon=True) for sock in self._sockets]
        for thread in self._threads:
            thread.start()

    def _count(self, sock: socket.socket) -> None:
        with suppress(OSError):  # closed
            while True:
                sock.accept()[0].close()
                self.connections += 1

    def close(self) -> None:
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join()


@pytest.fixture(scope="module")
def inner() -> Iterator[Listener]:
    listener = Listener()
    with socket.create_connection(("127.0.0.1", listener.port)):
        pass
    yield listener
    listener.close()
    assert listener.connections == 1, "only the one above came"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files").resolve() / "root"
    (folder / "a").mkdir(parents=True)
    (folder / "link").symlink_to("..")
    (folder.parent / "rootside").mkdir()
    for secret in (folder.parent / "secret", folder.parent / "rootside" / "secret"):
        secret.write_bytes(b"secret")
    return folder


@pytest.fixture(scope="module")
def objects(root: Path) -> Iterator[ObjectStore]:
    settings = ObjectSettings(destination=str(root.parent / "out"), file_roots=(root,), allowed_buckets=("s3://shop",))
    store = ObjectStore(settings, LimitSettings(download_timeout_s=5.0))
    with serving_names(DnsServer(NAMES)) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(store._guard, "_resolve", resolver(servers=[f"127.0.0.1:{server.port}"], domains=[]))
        patch.setattr(guard, "is_public", lambda address, real=guard.is_public: address == PUBLIC or real(address))
        patch.setattr(guard, "is_own", lambda address: False)
        yield store


@pytest.fixture(scope="module")
def internet() -> Iterator[HttpServer]:
    with serving(HttpServer(PUBLIC)) as server:
        yield server


def filled(address: str, inner: Listener, root: Path) -> str:
    return address.replace("{port}", str(inner.port)).replace("{root}", str(root))


ids = [ascii(address)[:60] for address, _ in WEB + PLACES]


def photo(objects: ObjectStore, address: str) -> None:
    """A request for it; a replay is admitted in the same way."""
    check_addresses(job_of(image=address), objects)
    objects.fetch(address)


def background(objects: ObjectStore, address: str) -> None:
    picture = Background(image=address)
    check_addresses(job_of(image="s3://shop/a", outputs=("composite",), background=picture), objects)
    objects.fetch(address)


def added_to_the_catalogue(objects: ObjectStore, address: str) -> None:
    objects.fetch(address)


def found_in_the_catalogue(objects: ObjectStore, address: str) -> None:
    objects.fetch_own(address)


@pytest.mark.parametrize("use", [photo, background, added_to_the_catalogue, found_in_the_catalogue])
@pytest.mark.parametrize(("address", "error"), WEB + PLACES, ids=ids)
def test_a_source_is_refused(
    objects: ObjectStore,
    inner: Listener,
    root: Path,
    address: str,
    error: type[CutstreamError],
    use: Callable[[ObjectStore, str], None],
) -> None:
    with pytest.raises(CutstreamError) as refused:
        use(objects, filled(address, inner, root))
    if use is photo:
        assert type(refused.value) is error
    assert isinstance(refused.value, (error, RefusedBackground) if use is background else error)


@pytest.mark.parametrize(("address", "error"), WEB + PLACES, ids=ids)
def test_a_destination_is_refused(
    objects: ObjectStore, inner: Listener, root: Path, address: str, error: type[CutstreamError]
) -> None:
    address = filled(address, inner, root)
    with pytest.raises(RefusedDestination):
        check_addresses(job_of(image="s3://shop/a", destination=address), objects)
    with pytest.raises(RefusedAddress):
        objects.put(f"{address}/x", b"", "image/png", named=True)
    assert sorted(root.parent.rglob("*")) == [
        root,
        root / "a",
        root / "link",
        root.parent / "rootside",
        root.parent / "rootside" / "secret",
        root.parent / "secret",
    ]


@pytest.mark.parametrize("address", CONTROLS, ids=ascii)
def test_a_control_character_is_refused_in_every_field(objects: ObjectStore, inner: Listener, address: str) -> None:
    address = address.replace("{port}", str(inner.port))
    for fields, error in (
        ({"image": address}, RefusedAddress),
        ({"image": "s3://shop/a", "destination": address}, RefusedDestination),
        ({"image": "s3://shop/a", "background": Background(image=address)}, InvalidOption),
    ):
        with pytest.raises(error):
            parse_recipe(Request(**fields))
    with pytest.raises(RefusedAddress):
        objects.fetch(address)


@pytest.mark.parametrize(("address", "error"), WEB + PLACES, ids=ids)
def test_a_redirect_leads_no_further_than_an_address(
    objects: ObjectStore, inner: Listener, internet: HttpServer, root: Path, address: str, error: type[CutstreamError]
) -> None:
    address = filled(address, inner, root).encode().decode("latin-1")  # as a server sends it
    target = f"http://public.example:{internet.port}/redirects?to={quote(address, safe='', encoding='utf-8')}"
    if address.startswith(("/", "\\")) or not address.isprintable():
        pytest.skip("a path of the same host")
    with pytest.raises(CutstreamError) as refused:
        objects.fetch(target)
    assert type(refused.value) in (error, MALFORMED)


def test_the_internet_is_there(objects: ObjectStore, internet: HttpServer) -> None:
    """The tests above refuse for the reason that they name, not because nothing works."""
    assert objects.fetch(f"http://public.example:{internet.port}/photo")

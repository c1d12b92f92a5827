"""The gateway's page in a real Chromium, with the gateway itself and without Kafka. tests/e2e/test_gateway_page.py has
the real stack."""

from __future__ import annotations

import json
import shlex
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from cutstream.clients.objects import files
from cutstream.clock import SystemClock
from producer.gateway.keys import create_key
from tests.support.browser import CHROMIUM, DESKTOP, MISSING, NARROW, PHONE, chromium, opened, violations
from tests.support.gateway_page import ServedGateway, photo_bytes, served_gateway
from tests.support.group import wait_until
from tests.support.ports import free_ports
from tests.support.prefix_proxy import proxied

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason=MISSING), pytest.mark.timeout(120)]

HOSTILE = [
    "<img src=x onerror=alert(1)>.jpg",
    "a\u202egpj.exe.jpg",
    "..\\..\\autostart.jpg",
    "con.jpg",
    "x" * 180 + ".jpg",
    "</li></ul><h1>owned.jpg",
    'quote"and\nline.jpg',
]
DROP = """([files, target]) => {
  const transfer = new DataTransfer();
  for (const [name, bytes] of files) transfer.items.add(new File([new Uint8Array(bytes)], name, {type: "image/jpeg"}));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    document.querySelector(target).dispatchEvent(
      new DragEvent(kind, {dataTransfer: transfer, bubbles: true, cancelable: true}));
  }
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedGateway]:
    with served_gateway(tmp_path) as gateway:
        yield gateway


def named(name: str, data: bytes) -> dict[str, Any]:
    return {"name": name, "mimeType": "image/jpeg", "buffer": data}


def photos(count: int, size: tuple[int, int] = (120, 90)) -> list[dict[str, Any]]:
    return [named(f"photo {number}.jpg", photo_bytes(number, size)) for number in range(count)]


BROKEN = named("broken.jpg", photo_bytes()[:2000])


def choose(page: Page, chosen: list[dict[str, Any]]) -> None:
    page.locator("#files").set_input_files(chosen)


def cut_out(page: Page, chosen: list[dict[str, Any]]) -> None:
    choose(page, chosen)
    page.get_by_role("button", name="Cut out").click()


def done(page: Page, ok: int, failed: int = 0) -> None:
    expect(page.locator('[data-state="ok"]')).to_have_count(ok, timeout=30_000)
    expect(page.locator('[data-state="failed"]')).to_have_count(failed)


def saved(page: Page, button: str, path: Path) -> Path:
    with page.expect_download() as download:
        page.locator(button).click()
    path = path / download.value.suggested_filename
    download.value.save_as(path)
    return path


# -- the way of a photo


def test_photos_that_are_dropped_come_back_as_a_zip(browser: Browser, served: ServedGateway, tmp_path: Path) -> None:
    dropped = [[f"photo {number}.jpg", list(photo_bytes(number, (120, 90)))] for number in range(3)]
    with opened(browser, served.address) as page:
        expect(page.locator("#drop")).to_be_visible()
        page.evaluate(DROP, [[*dropped, ["photo 1.jpg", list(photo_bytes(9))], ["notes.txt", [1]]], "#drop"])
        expect(page.locator("#notice")).to_be_hidden()  # its type says that it is a picture
        choose(page, [BROKEN, {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"x"}])
        expect(page.locator("#notice")).to_have_text("Left out, because it is no photo: notes.txt")
        page.get_by_role("button", name="Cut out 6 photos").click()
        done(page, 4, failed=2)
        expect(page.locator("#progress-text")).to_have_text("4 photos cut out, 2 failed")
        expect(page.locator(".has-after")).to_have_count(4)
        found = zipfile.ZipFile(saved(page, "#go", tmp_path))
    assert sorted(found.namelist()) == ["photo 0.png", "photo 1 (2).png", "photo 1.png", "photo 2.png"]
    assert found.testzip() is None
    made = {path.read_bytes() for path in Path(files.path_of(served.settings.objects.destination)).rglob("*.png")}
    assert {found.read(name) for name in found.namelist()} == made


def test_a_folder_keeps_its_structure(browser: Browser, served: ServedGateway, tmp_path: Path) -> None:
    for place in ("shoes/left.jpg", "shoes/red/left.jpg", "shoes/.DS_Store"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(photo_bytes(len(place), (90, 60)))
    with opened(browser, served.address) as page:
        page.locator("#folder").set_input_files(tmp_path / "shoes")
        page.get_by_role("button", name="Cut out 2 photos").click()
        done(page, 2)
        found = zipfile.ZipFile(saved(page, "#go", tmp_path))
    assert sorted(found.namelist()) == ["shoes/left.png", "shoes/red/left.png"]


def test_one_photo_large_with_a_slider(browser: Browser, served: ServedGateway, tmp_path: Path) -> None:
    with opened(browser, served.address) as page:
        cut_out(page, [*photos(2), BROKEN])
        done(page, 2, failed=1)
        page.locator(".card").first.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#compare")).to_have_attribute("data-shows", "both")
        page.locator("#split").focus()
        for _ in range(10):
            page.keyboard.press("ArrowLeft")
        assert page.locator("#compare").evaluate("one => one.style.getPropertyValue('--split')") == "40%"
        data = saved(page, "#save", tmp_path).read_bytes()
        assert data == httpx.get(f"{served.address}v1/jobs/{job_of(served)}/photos/1/cutout").content
        assert page.locator("#before").evaluate("one => one.src").startswith("blob:")
        page.get_by_role("button", name="Next").click()
        expect(page.locator("#viewer-title")).to_have_text("photo 1.jpg")
        page.get_by_role("button", name="Next").click()
        expect(page.locator("#viewer-text")).to_contain_text("The file is damaged. Open it in a picture program")
        expect(page.locator("#viewer-text")).to_contain_text("the file ends too early")
        expect(page.locator("#save")).to_be_hidden()
        page.keyboard.press("Escape")
        expect(page.locator("#viewer")).to_be_hidden()
        assert page.evaluate("document.activeElement.className") == "card"
        assert page.locator("#before").get_attribute("src") is None, "the large pictures are held on to"


def job_of(served: ServedGateway) -> str:
    return str(served.requests[0].labels["gateway-job"])


def test_a_cutout_goes_to_the_clipboard(browser: Browser, served: ServedGateway) -> None:
    with opened(browser, served.address, permissions=["clipboard-read", "clipboard-write"]) as page:
        cut_out(page, photos(1))
        done(page, 1)
        page.locator(".card").click()
        page.get_by_role("button", name="Copy", exact=True).click()
        expect(page.locator("#copy")).to_have_text("Copied")
        types = page.evaluate("navigator.clipboard.read().then(items => items.flatMap(item => [...item.types]))")
        assert types == ["image/png"]


def test_a_photo_is_pasted(browser: Browser, served: ServedGateway) -> None:
    with opened(browser, served.address) as page:
        expect(page.locator("#drop")).to_be_visible()
        page.evaluate(
            """bytes => {
              const transfer = new DataTransfer();
              transfer.items.add(new File([new Uint8Array(bytes)], "image.png", {type: "image/png"}));
              document.body.dispatchEvent(new ClipboardEvent("paste", {clipboardData: transfer, bubbles: true}));
            }""",
            list(photo_bytes(1, (60, 60), "PNG")),
        )
        expect(page.locator(".card")).to_have_count(1)


def test_what_the_browser_cannot_show_is_cut_out_all_the_same(browser: Browser, served: ServedGateway) -> None:
    with opened(browser, served.address) as page:
        choose(page, [named("holiday.heic", b"\0\0\0\x18ftypheic" + bytes(100))])
        expect(page.locator(".missing")).to_have_text("No preview: the browser cannot show this file")
        page.locator("#go").click()
        done(page, 0, failed=1)


def test_many_photos_go_in_batches_and_each_once(browser: Browser, served: ServedGateway) -> None:
    with opened(browser, served.address) as page:
        cut_out(page, photos(60, (40, 30)))
        done(page, 60)
        cut_out(page, photos(2, (40, 30)))
        done(page, 62)
    assert len(served.requests) == len({request.id for request in served.requests}) == 62
    jobs = {request.labels["gateway-job"] for request in served.requests}
    assert 3 <= len(jobs) <= 8
    topics = [record.topic for record in served.stream.records]
    assert topics[:60] == [served.settings.kafka.requests_topic] * 60, "many photos wait their turn"
    assert topics[60:] == [served.settings.kafka.urgent_topic] * 2, "a person waits for a few"


# -- nothing is lost, and nothing is done twice


def test_a_page_that_is_closed_and_opened_again_goes_on(browser: Browser, served: ServedGateway) -> None:
    served.worker.holding.set()
    context = browser.new_context()
    page = context.new_page()
    page.goto(served.address)
    cut_out(page, photos(5))
    expect(page.locator('[data-state="sent"]')).to_have_count(5)
    choose(page, [named("later.jpg", photo_bytes(7))])
    expect(page.locator('[data-state="new"]')).to_have_count(1)
    page.close()
    served.worker.holding.clear()
    wait_until(lambda: len(served.worker.answered) == 5, "the photos were not done meanwhile")
    page = context.new_page()
    page.goto(served.address)
    done(page, 5)
    expect(page.locator('[data-state="new"]')).to_have_count(1)
    page.get_by_role("button", name="Cut out 1 photo").click()
    done(page, 6)
    page.reload()
    done(page, 6)
    page.locator(".card").first.click()
    expect(page.locator("#compare")).to_have_attribute("data-shows", "both"), "the photo is there to compare with"
    assert len(served.requests) == 6
    context.close()


def test_an_answer_that_is_lost_makes_no_second_job(browser: Browser, served: ServedGateway) -> None:
    """The gateway takes a job, its answer never arrives, and the page is closed before it has tried again."""
    context = browser.new_context()
    page = context.new_page()

    def lose(route: Route) -> None:
        if route.request.method == "POST":
            route.fetch()
        route.abort()

    page.route("**/v1/jobs", lose)
    page.goto(served.address)
    cut_out(page, photos(3))
    expect(page.locator("#notice")).to_contain_text("The service cannot be reached.")
    wait_until(lambda: len(served.requests) == 3, "the job was not taken")
    page.close()
    page = context.new_page()
    page.goto(served.address)
    done(page, 3)
    assert len(served.requests) == 3
    context.close()


def test_a_service_that_is_away_is_said_and_found_again(browser: Browser, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    context = browser.new_context()
    page = context.new_page()
    with served_gateway(tmp_path, port) as served:
        page.goto(served.address)
        choose(page, photos(2))
        expect(page.locator("#state")).to_have_text("ready")
    page.get_by_role("button", name="Cut out 2 photos").click()
    expect(page.locator("#notice")).to_contain_text("The service cannot be reached. Check the connection.")
    expect(page.locator("#state")).to_have_text("not available")
    with served_gateway(tmp_path, port):
        done(page, 2)
        expect(page.locator("#notice")).to_be_hidden()
    context.close()


def test_a_job_that_the_service_has_forgotten_can_be_sent_again(browser: Browser, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    context = browser.new_context()
    page = context.new_page()
    with served_gateway(tmp_path / "one", port) as served:
        served.worker.holding.set()
        page.goto(served.address)
        cut_out(page, photos(2))
        expect(page.locator('[data-state="sent"]')).to_have_count(2)
    with served_gateway(tmp_path / "other", port):
        done(page, 0, failed=2)
        expect(page.locator(".status").first).to_have_text("The service does not know this photo any more.")
        page.get_by_role("button", name="Try 2 again").click()
        done(page, 2)
    context.close()


def test_a_result_that_is_gone_is_left_out_of_the_zip_and_can_be_made_again(
    browser: Browser, served: ServedGateway, tmp_path: Path
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(served.address)
    cut_out(page, photos(2)[1:])
    done(page, 1)
    cut_out(page, [*photos(3)[::2], named("deleted.jpg", photo_bytes(4))])
    done(page, 4)
    expect(page.locator(".has-after")).to_have_count(4)
    served.gateway._store.remove(served.requests[0].labels["gateway-job"])
    (deleted,) = Path(files.path_of(served.settings.objects.destination)).glob("*-3/*.png")
    deleted.unlink()
    found = zipfile.ZipFile(saved(page, "#go", tmp_path))
    assert found.namelist() == ["photo 0.png", "photo 2.png"]
    expect(page.locator("#notice")).to_contain_text("could not send them: photo 1.jpg, deleted.jpg")
    done(page, 2, failed=2)
    expect(page.locator('[data-state="failed"] .status')).to_have_text(["The result is no longer there."] * 2)
    page.get_by_role("button", name="Try 2 again").click()
    done(page, 4)
    context.close()


def test_two_windows_do_not_get_in_each_others_way(browser: Browser, served: ServedGateway) -> None:
    context = browser.new_context()
    first = context.new_page()
    first.goto(served.address)
    choose(first, photos(2))
    expect(first.locator(".card")).to_have_count(2)
    second = context.new_page()
    second.goto(served.address)
    expect(second.locator(".card")).to_have_count(2)
    expect(first.locator("#elsewhere")).to_be_visible()
    second.get_by_role("button", name="Cut out 2 photos").click()
    done(second, 2)
    first.get_by_role("button", name="Use them here").click()
    done(first, 2)
    expect(second.locator("#elsewhere")).to_be_visible()
    assert len(served.requests) == 2
    context.close()


def test_stop_calls_off_what_has_not_come_back(browser: Browser, served: ServedGateway) -> None:
    served.worker.holding.set()
    with opened(browser, served.address) as page:
        cut_out(page, photos(4))
        expect(page.locator('[data-state="sent"]')).to_have_count(4)
        wait_until(lambda: served.requests, "no worker has begun")
        served.stream.answer = served.worker.cancelled
        page.get_by_role("button", name="Stop").click()
        topic = served.settings.kafka.cancellations_topic
        wait_until(lambda: topic in [record.topic for record in served.stream.records], "nothing was called off")
        served.worker.holding.clear()
        done(page, 1)
        expect(page.locator('[data-state="new"]')).to_have_count(3)
        expect(page.get_by_role("button", name="Cut out 3 photos")).to_be_visible()


def test_clear_forgets_everything(browser: Browser, served: ServedGateway) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(served.address)
    cut_out(page, photos(2))
    done(page, 2)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#drop")).to_be_visible()
    kept = """new Promise(resolve => {
      const opening = indexedDB.open(`cutstream ${location.pathname}`);
      opening.onsuccess = () => {
        const stores = [...opening.result.objectStoreNames];
        const reading = opening.result.transaction(stores);
        Promise.all(stores.map(name => new Promise(counted => {
          reading.objectStore(name).count().onsuccess = event => counted(event.target.result);
        }))).then(resolve);
      };
    })"""
    assert page.evaluate(kept) == [0, 0, 0]
    cut_out(page, photos(1))
    done(page, 1)
    context.close()


# -- settings


def test_the_settings_are_a_request(browser: Browser, served: ServedGateway) -> None:
    with opened(browser, served.address, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.get_by_label("Colour", exact=True).first.check()
        page.locator("#color").fill("#ff8800")
        page.get_by_label("Shadow").select_option("contact")
        page.get_by_label("Crop to the subject").check()
        page.get_by_label("Margin around it").fill("7")
        page.get_by_label("Edges", exact=True).select_option("fine")
        page.get_by_label("Take more care with hair").check()
        page.get_by_label("Profile").select_option("portrait")
        page.get_by_label("File format").select_option("webp")
        cut_out(page, photos(1))
        done(page, 1)
        (request,) = served.requests
        assert (request.outputs, request.background.color, request.shadow) == (("composite",), "#ff8800", "contact")
        assert (request.crop, request.crop_margin, request.refine) == (True, "7%", "fine")
        assert (request.matting, request.profile, request.format) == ("fast", "portrait", "webp")

        page.get_by_text("For programs").click()
        shown = json.loads(page.locator("#json").text_content() or "")
        words = shlex.split((page.locator("#curl").text_content() or "").replace("\\\n", " "))
        assert words[0] == "curl"
        fields = dict(word.split("=", 1) for word in words if "=" in word)
        assert json.loads(fields["options"]) == {name: shown[name] for name in shown if name != "image"}
        sent = httpx.post(words[-1], data={"options": fields["options"]}, files={"image_file": photo_bytes()})
        assert sent.status_code == 202

        page.get_by_role("button", name="Copy link to settings").click()
        link = page.evaluate("navigator.clipboard.readText()")
        page.get_by_role("button", name="Reset").click()
        expect(page.get_by_label("Profile")).to_have_value("")
        expect(page.get_by_role("button", name="Do all again with the new settings")).to_be_visible()
        page.goto(link)
        expect(page.get_by_label("Profile")).to_have_value("portrait")
        expect(page.locator("#margin")).to_have_value("7")
        assert page.url == served.address, "the settings have left the address"


def test_a_background_picture_of_this_computer(browser: Browser, served: ServedGateway) -> None:
    backgrounds: list[bytes] = []
    answer = served.worker.answer

    def note(request: Any) -> Any:
        backgrounds.append(Path(files.path_of(request.background.image)).read_bytes())
        return answer(request)

    served.stream.answer = note
    beach = photo_bytes(5, (64, 48))
    with opened(browser, served.address) as page:
        page.get_by_label("Picture", exact=True).check()
        choose(page, photos(2))
        page.locator("#go").click()
        expect(page.locator("#notice")).to_have_text("Choose a background picture in the settings first.")
        expect(page.locator("#choose-picture")).to_be_focused()
        page.locator("#picture").set_input_files([named("beach.jpg", beach)])
        expect(page.locator("#picture-name")).to_have_text("beach.jpg")
        page.get_by_text("For programs").click()
        expect(page.locator("#curl")).to_contain_text("-F 'bg_image_file=@beach.jpg'")
        page.reload()
        expect(page.locator("#picture-name")).to_have_text("beach.jpg")
        page.locator("#go").click()
        done(page, 2)
        assert backgrounds == [beach] * 2
        page.get_by_role("button", name="Remove", exact=True).click()
        expect(page.locator("#image")).to_be_visible()


def test_a_link_may_bring_what_the_form_does_not_have(browser: Browser, served: ServedGateway) -> None:
    link = served.address + '#settings={"harmonise":"reinhard","refine":"base","id":"x","background":{"image":"beach"}}'
    with opened(browser, link) as page:
        expect(page.locator("#extra")).to_contain_text("harmonise, refine")
        expect(page.locator("#image")).to_have_value("beach")
        cut_out(page, photos(1))
        wait_until(lambda: served.requests, "nothing was sent")
    (request,) = served.requests
    assert (request.harmonise, request.refine, request.background.image) == ("reinhard", "base", "beach")


@pytest.mark.parametrize("hash", ["settings=[1]", "settings=%7B", 'settings={"background":7,"crop_margin":[]}', "x"])
def test_a_link_that_is_damaged_changes_nothing(browser: Browser, served: ServedGateway, hash: str) -> None:
    with opened(browser, f"{served.address}#{hash}") as page:
        cut_out(page, photos(1))
        done(page, 1)


def test_with_other_settings_all_can_be_done_again(browser: Browser, served: ServedGateway) -> None:
    with opened(browser, served.address) as page:
        cut_out(page, photos(2))
        done(page, 2)
        expect(page.locator("#again")).to_be_hidden()
        page.get_by_label("Colour", exact=True).first.check()
        page.get_by_role("button", name="Do all again with the new settings").click()
        wait_until(lambda: len(served.requests) == 4, "they were not done again")
        done(page, 2)
        expect(page.locator("#again")).to_be_hidden()


def test_a_setting_that_the_service_refuses_is_named(browser: Browser, served: ServedGateway) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(served.address + '#settings={"roi":"everywhere"}')
    cut_out(page, photos(1))
    done(page, 0, failed=1)
    page.locator(".card").click()
    expect(page.locator("#viewer-text")).to_contain_text("A setting does not fit. Change it, and try again.")
    expect(page.locator("#viewer-text")).to_contain_text("roi")
    context.close()


# -- keys


def test_with_keys_it_asks_for_one_and_keeps_it_for_the_window_only(browser: Browser, tmp_path: Path) -> None:
    key = create_key(tmp_path / "keys.toml", "shop", SystemClock())
    with served_gateway(tmp_path, keys=tmp_path / "keys.toml") as served, opened(browser, served.address) as page:
        expect(page.locator("#login")).to_be_visible()
        assert violations(page) == []
        page.locator("#key").fill("cs_wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#key-wrong")).to_have_text("The service does not know this key.")
        page.locator("#key").fill(key)
        page.keyboard.press("Enter")
        cut_out(page, photos(2))
        done(page, 2)
        expect(page.locator(".has-after")).to_have_count(2)
        page.reload()
        done(page, 2)
        assert page.evaluate("JSON.stringify(localStorage)") == "{}"
        assert key in page.evaluate("JSON.stringify(sessionStorage)")
        assert key not in page.content()
        other = page.context.new_page()
        other.goto(served.address)
        expect(other.locator("#login")).to_be_visible()


# -- for everybody


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_is_accessible(browser: Browser, served: ServedGateway, scheme: Any, size: tuple[int, int]) -> None:
    with opened(browser, served.address, size, color_scheme=scheme) as page:
        expect(page.locator("#drop")).to_be_visible()
        assert violations(page) == []
        page.locator("#settings").evaluate("one => { one.open = true; }")
        page.get_by_label("Crop to the subject").check()
        choose(page, [*photos(2), BROKEN])
        assert violations(page) == []
        page.locator("#go").click()
        done(page, 2, failed=1)
        expect(page.locator(".has-after")).to_have_count(2)
        assert violations(page) == []
        for number in (0, 2):
            page.locator(".card").nth(number).click()
            expect(page.locator("#compare")).not_to_have_attribute("data-shows", "none")
            assert violations(page) == []
            page.keyboard.press("Escape")


def test_all_of_it_works_with_the_keyboard(browser: Browser, served: ServedGateway) -> None:
    with opened(browser, served.address) as page:
        expect(page.locator("#drop")).to_be_visible()
        for expected in ("skip", "choose", "choose-folder"):
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement.id || document.activeElement.className") == expected
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        choose(page, photos(2))
        expect(page.locator("#go")).to_be_focused()
        page.keyboard.press("Enter")
        done(page, 2)
        expect(page.locator("#spoken")).to_have_text("Finished: 2 photos cut out.")


@pytest.mark.parametrize(("width", "zoom"), [(320, 1), (640, 2), (1280, 4)])
def test_it_fits_a_narrow_window_and_a_large_zoom(
    browser: Browser, served: ServedGateway, width: int, zoom: int
) -> None:
    with opened(browser, served.address, (width // zoom, 640), device_scale_factor=zoom) as page:
        page.locator("#settings").evaluate("one => { one.open = true; }")
        page.get_by_text("For programs").click()
        cut_out(page, [*photos(2), BROKEN])
        done(page, 2, failed=1)
        assert page.evaluate("document.documentElement.scrollWidth") <= width // zoom
        page.locator(".card").first.click()
        expect(page.locator("#compare")).to_have_attribute("data-shows", "both")
        assert page.locator("#viewer").evaluate("one => one.scrollWidth <= one.clientWidth")
        page.emulate_media(reduced_motion="reduce")
        assert page.locator(".pair img").first.evaluate("one => getComputedStyle(one).transitionDuration") == "0s"


def test_what_strangers_name_their_files_stays_text(browser: Browser, served: ServedGateway, tmp_path: Path) -> None:
    dropped = [[name, list(photo_bytes(1, (40, 30)))] for name in HOSTILE]
    with opened(browser, served.address, NARROW) as page:
        expect(page.locator("#drop")).to_be_visible()
        page.evaluate(DROP, [dropped, "#drop"])
        page.get_by_role("button", name=f"Cut out {len(HOSTILE)} photos").click()
        done(page, len(HOSTILE))
        assert page.locator("#cards h1, #cards script, #cards img[onerror]").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW[0]
        page.locator(".card").first.click()
        expect(page.locator("#viewer-title")).to_contain_text("onerror")
        page.keyboard.press("Escape")
        found = zipfile.ZipFile(saved(page, "#go", tmp_path))
    assert len(set(found.namelist())) == len(HOSTILE)
    for name in found.namelist():
        assert not name.startswith(("/", ".")), name
        assert ".." not in name.split("/"), name
        assert not set(name) & set('<>:"|?*\\\n\u202e'), name


def test_it_works_behind_a_prefix_of_a_reverse_proxy(browser: Browser, served: ServedGateway) -> None:
    with (
        proxied(f"127.0.0.1:{served.port}", "/tools/cutouts") as address,
        opened(browser, address) as page,
    ):
        cut_out(page, photos(2))
        done(page, 2)
        expect(page.locator(".has-after")).to_have_count(2)

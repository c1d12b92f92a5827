"""What a worker doubts about itself, and what ends the doubt."""

from __future__ import annotations

import threading

import pytest

from consumer.delivery.doubts import MANY_PLACES, Doubts


class Doubted(dict[str, bool]):
    def note(self, about: str, doubted: bool) -> None:
        self[about] = doubted


@pytest.fixture
def doubted() -> Doubted:
    return Doubted(network=False, settings=False)


@pytest.fixture
def doubts(doubted: Doubted) -> Doubts:
    return Doubts(3, doubted.note)


def silence(doubts: Doubts, number: int = MANY_PLACES, scheme: str = "https") -> bool:
    return [doubts.note_silent(f"{scheme}://host-{n}/a.jpg", "timed out") for n in range(number)][-1]


def test_many_dead_hosts_are_held_against_the_network_and_one_is_not(
    doubts: Doubts, doubted: Doubted, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(300):
        assert not doubts.note_silent("https://dead.example/a.jpg", "timed out")
    assert not silence(doubts, MANY_PLACES - 2)
    assert doubted["network"] is False
    assert silence(doubts, 250)
    assert doubted["network"] is True
    assert len([record for record in caplog.records if "do not answer" in record.message]) == 1


def test_an_answer_ends_the_doubt_about_its_kind_of_place(doubts: Doubts, doubted: Doubted) -> None:
    silence(doubts)
    silence(doubts, scheme="s3")
    doubts.note_answer("HTTP://alive.example/a.jpg")
    assert doubted["network"] is True
    assert not doubts.note_silent("https://host-1/a.jpg", "timed out")
    assert doubts.note_silent("s3://host-1/a.jpg", "timed out")
    doubts.note_answer("s3://alive/a.jpg")
    assert doubted["network"] is False


def test_files_say_nothing_about_the_network(doubts: Doubts) -> None:
    silence(doubts)
    doubts.note_answer("file:///a.jpg")
    assert doubts.note_silent("https://host-1/a.jpg", "timed out")
    assert not silence(doubts, 100, "file")


def test_spellings_of_one_host_are_one(doubts: Doubts) -> None:
    hosts = ["Dead.example", "dead.example.", "dead.example:81", "a@dead.example"] * MANY_PLACES
    assert not any([doubts.note_silent(f"http://{host}/{n}.jpg", "timed out") for n, host in enumerate(hosts)])


def test_the_doubt_is_about_all_places_of_a_kind(doubts: Doubts) -> None:
    assert not doubts.is_network_doubted("https://a/1")
    silence(doubts)
    assert doubts.is_network_doubted("http://never-tried/1")
    assert not doubts.is_network_doubted("s3://a/1")
    doubts.note_answer("https://alive/a.jpg")
    assert not doubts.is_network_doubted("https://a/1")


def test_refusals_count_by_picture_and_only_before_the_first_success(doubts: Doubts, doubted: Doubted) -> None:
    assert not any([doubts.note_refused("a", "no") for _ in range(300)])
    assert not doubts.note_refused("b", "no")
    assert not doubts.note_refused("c", "no")
    assert doubted["settings"] is True
    assert doubts.note_refused("d", "no")
    doubts.note_success()
    assert doubted["settings"] is False
    assert not any([doubts.note_refused(str(n), "no") for n in range(300)])


def test_many_threads_share_it(doubts: Doubts, doubted: Doubted) -> None:
    threads = [threading.Thread(target=silence, args=(doubts, 500)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert doubted["network"] is True
    doubts.note_answer("https://alive/a.jpg")
    assert doubted["network"] is False

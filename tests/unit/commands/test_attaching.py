"""A command uses the local stack that runs, waits for one that is starting, and notices when it stops."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from commands import attaching
from commands.attaching import attached_stack, ending_with, stack_to_send_to
from cutstream.errors import BrokerUnavailable, InvalidOption, StackError
from cutstream.settings import ObjectSettings, Settings, StackSettings
from deploy.local import kafka as local
from deploy.local.allowed import noted
from deploy.local.state import is_in_use, lock_state

STARTING = "waiting for the stack"


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    monkeypatch.setattr(local, "is_ready", lambda port, identity: True)
    monkeypatch.setattr(attaching, "_LOOK_S", 0.01)
    return Settings(stack=StackSettings(state=tmp_path / "state", private=False))


@pytest.fixture
def starting(settings: Settings) -> Iterator[ExitStack]:
    """Lock the state folder as a stack does that starts. It ends with the ExitStack."""
    with ExitStack() as stack:
        stack.enter_context(lock_state(settings.stack.state))
        yield stack


def test_where_no_stack_runs_nothing_is_waited_for_nor_left_behind(settings: Settings) -> None:
    said: list[str] = []
    assert attached_stack(settings, said.append) is None
    assert said == []
    assert not settings.stack.state.exists()


def test_a_stack_that_runs_is_used_at_once(settings: Settings, starting: ExitStack, tmp_path: Path) -> None:
    starting.enter_context(noted(ObjectSettings(file_roots=(tmp_path,)), settings.stack))
    said: list[str] = []
    stream = attached_stack(settings, said.append)
    assert stream is not None
    assert stream.workers_objects.file_roots == (tmp_path,)
    assert said == []


def test_a_stack_that_is_starting_is_waited_for(settings: Settings, starting: ExitStack) -> None:
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        later = threading.Timer(0.1, starting.enter_context, [noted(ObjectSettings(), settings.stack)])
        later.start()
        starting.callback(later.join)

    assert attached_stack(settings, say) is not None
    assert len(said) == 1
    assert STARTING in said[0]


def test_a_stack_that_ends_while_it_is_waited_for_is_none(settings: Settings, starting: ExitStack) -> None:
    assert attached_stack(settings, lambda text: starting.close()) is None


def test_a_stack_that_never_becomes_ready_is_given_up(settings: Settings, starting: ExitStack) -> None:
    short = settings.stack.model_copy(update={"start_timeout_s": 0.05})
    assert attached_stack(settings.model_copy(update={"stack": short}), lambda text: None) is None


def test_a_lock_that_is_another_name_of_a_file_is_no_stack(settings: Settings, tmp_path: Path) -> None:
    settings.stack.state.mkdir()
    (tmp_path / "file").touch()
    (settings.stack.state / "stack.lock").hardlink_to(tmp_path / "file")
    assert not is_in_use(settings.stack.state)


def test_who_looks_at_the_lock_does_not_keep_a_stack_from_starting(settings: Settings) -> None:
    state, stop = settings.stack.state, threading.Event()

    def look() -> None:
        while not stop.is_set():
            is_in_use(state)

    looking = threading.Thread(target=look)
    with lock_state(state):
        pass
    looking.start()
    try:
        for _ in range(50):
            with lock_state(state):
                pass
    finally:
        stop.set()
        looking.join()


def test_a_stack_that_has_stopped_is_noticed(settings: Settings, starting: ExitStack) -> None:
    with ending_with(settings.stack) as check:
        with noted(ObjectSettings(), settings.stack):
            check()
        with pytest.raises(StackError, match="has stopped"):
            check()


@pytest.mark.parametrize("error", [BrokerUnavailable("away"), TimeoutError()])
def test_servers_that_do_not_answer_are_those_of_a_stack_that_has_stopped(settings, starting, error) -> None:
    with pytest.raises(StackError, match="has stopped"), ending_with(settings.stack):
        raise error
    with (
        noted(ObjectSettings(), settings.stack),
        pytest.raises(type(error)),
        ending_with(settings.stack),
    ):
        raise error


def test_an_error_that_has_nothing_to_do_with_the_stack_stays(settings: Settings, starting: ExitStack) -> None:
    with pytest.raises(InvalidOption, match="mine"), ending_with(settings.stack):
        raise InvalidOption("mine")


def test_where_no_stack_runs_a_command_that_sends_says_so(settings: Settings) -> None:
    with pytest.raises(StackError, match=r"no stack runs on .*: start one with `cutstream up`"):
        stack_to_send_to(settings, lambda text: None)


def test_a_command_that_watches_waits_until_somebody_starts_a_stack(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attaching, "_LOOK_AGAIN_S", 0.01)
    said: list[str] = []
    with ExitStack() as stack:

        def say(text: str) -> None:
            said.append(text)
            later = threading.Timer(0.1, start)
            later.start()
            stack.callback(later.join)

        def start() -> None:
            stack.enter_context(lock_state(settings.stack.state))
            stack.enter_context(noted(ObjectSettings(), settings.stack))

        stream = stack_to_send_to(settings, say, waits=True)
        assert stream.settings.kafka.bootstrap_servers
    assert len([text for text in said if "waiting until `cutstream up`" in text]) == 1

"""Use the local stack that runs already: wait while it starts, and notice when it stops."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from commands.console import tell
from cutstream.errors import CutstreamError, Retryable, StackError

if TYPE_CHECKING:
    from cutstream.settings import Settings, StackSettings
    from producer.folders.work import Stream

_LOOK_S = 0.2
_LOOK_AGAIN_S = 1.0  # for a stack that somebody may start


def located(settings: Settings, report: Callable[[str], None] = tell) -> Settings:
    """Return settings that reach the local stack of this user, wherever it was started. Nothing is written.

    That is the one of these settings, unless they name none, none runs in this folder, and `cutstream up` runs
    elsewhere. `report` is told of that.
    """
    from deploy.local.elsewhere import stack_elsewhere

    elsewhere = stack_elsewhere(settings)
    if elsewhere is None:
        return settings
    report(f"using the stack on {elsewhere.stack.state}: none runs on {settings.stack.state} here")
    return elsewhere


def reached(settings: Settings) -> Settings:
    """Return settings with every address: of the servers that they name, or else of the stack that `located` finds."""
    from cutstream.settings import addressed

    return addressed(located(settings))


def attached_stack(settings: Settings, report: Callable[[str], None]) -> Stream | None:
    """Return the local stack, after waiting for one that is starting or stopping. None if there is none.

    It is waited for twice as long as one of its servers may take to start.
    """
    from cutstream.settings import addressed, identity_of, inbox_of, read_note
    from deploy.local.kafka import is_ready
    from deploy.local.state import is_in_use
    from producer.folders.work import Stream

    stack, told = settings.stack, False
    deadline = time.monotonic() + 2 * stack.start_timeout_s
    while True:
        noted = read_note(stack)
        if noted and is_ready(stack.kafka_port, identity=identity_of(stack)):
            return Stream(addressed(settings), noted, inbox_of(stack, noted))
        if not is_in_use(stack.state) or time.monotonic() > deadline:
            return None
        if not told:
            report(f"waiting for the stack on {stack.state}, which is starting or stopping")
            told = True
        time.sleep(_LOOK_S)


def stack_to_send_to(settings: Settings, report: Callable[[str], None] = tell, *, waits: bool = False) -> Stream:
    """Return the local stack of this user, which `located` finds.

    With `waits`, one that is not started yet is waited for, in whichever folder of this user's it starts; else
    StackError says that there is none.
    """
    told = False
    while True:
        running = located(settings, report)
        if (stream := attached_stack(running, report)) is not None:
            return stream
        missing = f"no stack runs on {running.stack.state}"
        if not waits:
            raise StackError(
                f"{missing}, so nothing was sent: start one with `cutstream up` in another terminal, and run this "
                "command again. (`cutstream cut` starts one by itself)"
            )
        if not told:
            report(f"{missing}: waiting until `cutstream up` in another terminal has started one (Ctrl-C ends this)")
            told = True
        time.sleep(_LOOK_AGAIN_S)


@contextmanager
def ending_with(stack: StackSettings) -> Iterator[Callable[[], None]]:
    """Yield a function that raises StackError once the local stack has stopped.

    So does the block if it fails because servers do not answer any more. While the stack starts its Kafka again, which
    it does by itself, nothing is raised.
    """
    from cutstream.settings import read_note

    def check() -> None:
        if read_note(stack) is None:
            raise StackError(
                f"the stack on {stack.state} that did this work is stopping or has stopped. The same command goes on "
                "where this one stopped, with a stack of its own or with the next `cutstream up`"
            )

    try:
        yield check
    except Exception as exc:
        if isinstance(exc, Retryable) or not isinstance(exc, CutstreamError):
            check()
        raise

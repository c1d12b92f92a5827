"""When a request whose source is away is due again."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.delivery.retries import RetryPolicy
from consumer.jobs import Progress
from cutstream.clock import ManualClock
from cutstream.errors import (
    AddressNotAllowed,
    BackgroundFailed,
    BackgroundUnavailable,
    Expired,
    SourceFailed,
    SourceUnavailable,
)
from cutstream.settings import LimitSettings
from tests.support.jobs import job_of

DELAY_S = 60.0


def next_attempt_ms(clock: ManualClock, attempts: int = 1, error: SourceUnavailable | None = None, **request) -> int:
    policy = RetryPolicy(LimitSettings(source_attempts=2, retries=3, retry_delay_s=DELAY_S), clock)
    return policy.next_attempt_ms(
        job_of(**request), Progress(0.0, attempts=attempts), error or SourceUnavailable("503")
    )


@pytest.mark.parametrize("error", [SourceUnavailable("503"), AddressNotAllowed("not listed")])
def test_a_request_in_doubt_has_more_attempts_and_then_fails_with_its_own_error(error) -> None:
    limits = LimitSettings(source_attempts=2, retries=3, retry_delay_s=DELAY_S, outage_retries=4)
    policy = RetryPolicy(limits, ManualClock())
    assert policy.next_attempt_ms(job_of(), Progress(0.0, attempts=8), error, in_doubt=True)
    with pytest.raises((SourceFailed, AddressNotAllowed), match=str(error)):
        policy.next_attempt_ms(job_of(), Progress(0.0, attempts=9), error, in_doubt=True)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 300),  # seconds since the one before
            st.integers(1, 4),
            st.none() | st.floats(0, 1e6),
            st.none() | st.floats(0, 200),
        ),
        max_size=30,
    )
)
def test_the_retry_topic_is_in_the_order_in_which_its_requests_are_due(postponements) -> None:
    clock, due = ManualClock(), []
    for pause_s, attempts, hint_s, left_s in postponements:
        clock.sleep(pause_s)
        deadline = None if left_s is None else datetime.fromtimestamp(clock.wall() + left_s, timezone.utc)
        try:
            due.append(next_attempt_ms(clock, attempts, SourceUnavailable("503", hint_s), deadline=deadline))
        except Expired:
            assert left_s is not None
            assert left_s <= DELAY_S
    assert due == sorted(due)


@pytest.mark.parametrize(
    ("error", "failure"),
    [(SourceUnavailable("503"), SourceFailed), (BackgroundUnavailable("503"), BackgroundFailed)],
)
def test_a_request_fails_with_its_own_error_after_the_attempts_in_place_and_the_retries(error, failure) -> None:
    next_attempt_ms(ManualClock(), attempts=4, error=error)
    with pytest.raises(failure, match=r"503 \(5 attempts\)") as raised:
        next_attempt_ms(ManualClock(), attempts=5, error=error)
    assert type(raised.value) is failure
    assert (raised.value.retryable, raised.value.code) == (True, error.code)


def test_a_last_attempt_before_the_deadline_is_a_failure_and_no_expiry() -> None:
    deadline = datetime.fromtimestamp(ManualClock().wall() + 1, timezone.utc)
    with pytest.raises(SourceFailed):
        next_attempt_ms(ManualClock(), attempts=5, deadline=deadline)

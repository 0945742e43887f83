"""When a session ends and when it is renewed: tables and properties over a clock that is just a number."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from middleware.sessions.lifetimes import CLOCK_SKEW, LONGEST, Lifetimes

DAY = 86_400
NOW = 1_800_000_000

IDLE = Lifetimes(max_age=14 * DAY, idle=1800, absolute=None)
BOTH = Lifetimes(max_age=14 * DAY, idle=1800, absolute=4 * 3600)
BROWSER = Lifetimes(max_age=None, idle=14 * DAY, absolute=None)


# The lifetimes, how many seconds ago it was created and seen (less than none: in the future), whether it is over

OVER: dict[str, tuple[Lifetimes, int, int, bool]] = {
    "just made": (IDLE, 0, 0, False),
    "idle": (IDLE, 1800, 1800, False),
    "idle for too long": (IDLE, 1801, 1801, True),
    "old and busy": (IDLE, 399 * DAY, 1, False),
    "old and idle": (IDLE, 399 * DAY, 1800, False),
    "old and idle for too long": (IDLE, 399 * DAY, 1801, True),
    "busy to the end": (BOTH, 4 * 3600, 0, False),
    "busy beyond the end": (BOTH, 4 * 3600 + 1, 0, True),
    "idle before the end": (BOTH, 2 * 3600, 1801, True),
    "for as long as the browser runs": (BROWSER, 14 * DAY, 14 * DAY, False),
    "for longer than that": (BROWSER, 14 * DAY + 1, 14 * DAY + 1, True),
    "of ten years ago": (BROWSER, 3650 * DAY, 3650 * DAY, True),
    "without a date": (BROWSER, NOW, NOW, True),
    "by a clock that is ahead": (IDLE, -30, -30, False),
    "by a clock that is too far ahead": (IDLE, -31, -31, True),
    "seen by one that is ahead": (IDLE, 5, -30, False),
    "seen by one that is too far ahead": (IDLE, 5, -31, True),
    "made by one that is ahead": (IDLE, -30, 5, False),
    "made by one that is too far ahead": (IDLE, -31, 5, True),
    "of the next century": (IDLE, NOW - 2**32 + 1, NOW - 2**32 + 1, True),
}


@pytest.mark.parametrize("name", OVER)
def test_a_session_is_over(name: str) -> None:
    lifetimes, created, seen, over = OVER[name]
    assert lifetimes.are_over(NOW - created, NOW - seen, NOW) is over


def test_the_clocks_of_two_machines_may_differ_by_half_a_minute() -> None:
    assert CLOCK_SKEW == 30
    for ahead in range(-30, 31):
        assert not IDLE.are_over(NOW + ahead, NOW + ahead, NOW)


@pytest.mark.parametrize(
    ("lifetimes", "created", "seen", "expires"),
    [
        (IDLE, NOW, NOW, NOW + 1800),
        (IDLE, NOW - 5 * DAY, NOW, NOW + 1800),
        (BOTH, NOW, NOW, NOW + 1800),
        (BOTH, NOW - 4 * 3600 + 1800, NOW, NOW + 1800),
        (BOTH, NOW - 4 * 3600 + 1799, NOW, NOW + 1799),
        (BOTH, NOW - 4 * 3600, NOW, NOW),
        (BROWSER, NOW - DAY, NOW, NOW + 14 * DAY),
    ],
)
def test_it_ends_when_it_is_idle_or_old_whichever_comes_first(
    lifetimes: Lifetimes, created: int, seen: int, expires: int
) -> None:
    assert lifetimes.expires(created, seen) == expires
    assert not lifetimes.are_over(created, seen, expires)
    assert lifetimes.are_over(created, seen, expires + 1)


@pytest.mark.parametrize(
    ("lifetimes", "left", "age"),
    [
        (IDLE, 1800, 1800),
        (IDLE, 15 * DAY, 14 * DAY),
        (BOTH, 60, 60),
        (BOTH, 0, 0),
        (BROWSER, 14 * DAY, None),
        (BROWSER, 60, None),
        (Lifetimes(LONGEST, LONGEST, None), LONGEST, 400 * DAY),
    ],
)
def test_a_cookie_lives_as_long_as_its_session_and_no_longer_than_its_max_age(
    lifetimes: Lifetimes, left: int, age: int | None
) -> None:
    assert lifetimes.age(NOW + left, NOW) == age


@pytest.mark.parametrize(
    ("idle", "since", "worth"),
    [
        *[(1800, 0, False), (1800, 179, False), (1800, 180, True), (1800, 1800, True)],
        *[(14 * DAY, 120_959, False), (14 * DAY, 120_960, True)],
        *[(15, 1, False), (15, 2, True)],  # a tenth is one and a half seconds
        *[(1, 0, False), (1, 1, True), (1800, -30, False)],
    ],
)
def test_it_is_worth_renewing_after_a_tenth_of_its_idle_time(idle: int, since: int, worth: bool) -> None:
    assert Lifetimes(None, idle, None).are_worth_renewing(NOW - since, NOW) is worth


# Over time

SECONDS = st.integers(1, LONGEST)
LIFETIMES = st.builds(Lifetimes, st.none() | SECONDS, SECONDS, st.none() | SECONDS)
STEPS = st.lists(st.integers(0, 5_000) | SECONDS, max_size=40)


@given(LIFETIMES, STEPS)
def test_a_session_that_is_only_read_is_renewed_once_per_tenth_and_lives_while_it_is_read(
    lifetimes: Lifetimes, steps: list[int]
) -> None:
    created = seen = now = NOW
    renewals = [NOW]
    for step in steps:
        now += step
        over = lifetimes.are_over(created, seen, now)
        too_old = lifetimes.absolute is not None and now - created > lifetimes.absolute
        assert over == (too_old or now - seen > lifetimes.idle)
        if over:
            break
        if lifetimes.are_worth_renewing(seen, now):
            renewals.append(now)
            seen = now
    for one, next_one in pairwise(renewals):
        assert (next_one - one) * 10 >= lifetimes.idle
    assert len(renewals) - 1 <= (now - NOW) * 10 / lifetimes.idle


@given(LIFETIMES, st.lists(st.floats(0, 0.9), max_size=30))
def test_a_visitor_who_comes_within_nine_tenths_of_the_idle_time_stays(
    lifetimes: Lifetimes, parts: list[float]
) -> None:
    lifetimes = lifetimes._replace(absolute=None)
    seen = now = NOW
    for part in parts:
        now += int(lifetimes.idle * part)
        assert not lifetimes.are_over(NOW, seen, now)
        if lifetimes.are_worth_renewing(seen, now):
            seen = now


@given(LIFETIMES, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_whatever_the_times_a_living_session_is_no_older_and_no_younger_than_allowed(
    lifetimes: Lifetimes, created: int, seen: int, now: int
) -> None:
    if not lifetimes.are_over(created, seen, now):
        assert -30 <= now - seen <= lifetimes.idle
        assert now - created >= -30
        assert lifetimes.absolute is None or now - created <= lifetimes.absolute
        age = lifetimes.age(lifetimes.expires(created, seen), now)
        assert age is None or 0 <= age <= lifetimes.max_age  # type: ignore[operator]

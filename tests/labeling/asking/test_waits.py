from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from autointerp.labeling.asking.waits import told_wait, wait_before


@pytest.mark.parametrize(
    ("headers", "text", "seconds"),
    [
        ({"retry-after": "7"}, "", 7),
        ({"retry-after": "0.25"}, "", 0.25),
        ({"retry-after": "0"}, "", 0),
        ({"retry-after": "-3"}, "", 0),
        ({"retry-after-ms": "300", "retry-after": "1"}, "", 0.3),
        ({"x-ms-retry-after-ms": "1500"}, "", 1.5),
        ({}, "Rate limit reached. Please try again in 20s. Visit", 20),
        ({}, "Please try again in 6m30.5s.", 390.5),
        ({}, "Please try again in 350ms", 0.35),
        ({}, "Please retry in 34.07s.", 34.07),
        ({}, "Please retry after 12 seconds", 12),
        ({}, "retry after 2 minutes", 120),
        ({}, '{"retryDelay": "31s"}', 31),
        ({}, "slow down", None),
        ({"retry-after": "soon"}, "", None),
        ({"retry-after": "nan"}, "", None),
    ],
)
def test_what_servers_say_of_waiting(headers: dict[str, str], text: str, seconds: float | None) -> None:
    assert told_wait(headers, text) == (None if seconds is None else pytest.approx(seconds))


def test_a_date_is_the_end_of_the_wait() -> None:
    found = told_wait({"retry-after": formatdate(time.time() + 30, usegmt=True)})
    assert found is not None
    assert 27 < found <= 30
    assert told_wait({"retry-after": formatdate(time.time() - 30, usegmt=True)}) == 0


def test_waits_grow_and_are_bounded_where_the_server_says_nothing_or_now() -> None:
    for told in (None, 0.0, 0.001):
        waits = [wait_before(attempt, told, 60) for attempt in range(1, 21)]
        assert waits[0] >= 0.1
        assert waits[9] >= 10
        assert 10 <= waits[19] <= 75
    assert wait_before(1, 7.0, 60) == 0, "the pause of all requests is its wait"
    assert wait_before(12, 7.0, 60) >= 60, "a server that says so again and again is not believed"

"""Stops that are held back: they come where the task lets them, and none is lost."""

from __future__ import annotations

import pytest

from autointerp.web.workers.stops import Stops


def test_a_stop_comes_at_once_where_nothing_holds_it() -> None:
    stops = Stops()
    stops.check()
    with pytest.raises(KeyboardInterrupt):
        stops.interrupt()


def test_a_stop_that_is_held_back_comes_at_the_next_check() -> None:
    stops, said = Stops(), list[str]()

    def work() -> None:
        with stops.held_back():
            with stops.held_back():
                stops.interrupt()
                said.append("inside")
            said.append("between")
            stops.check()
            said.append("never")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert said == ["inside", "between"]
    # It came once.
    stops.check()


def test_a_stop_that_is_held_back_to_the_end_comes_there() -> None:
    stops, said = Stops(), list[str]()

    def work() -> None:
        with stops.held_back():
            stops.interrupt()
            said.append("removed")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert said == ["removed"]

"""Threads are kept busy, and a reached budget ends the work without losing what was answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from autointerp.errors import AutointerpError
from autointerp.labeling.asking.busy_threads import answers_to
from autointerp.labeling.asking.protocol import BudgetReached


class Asker:
    """Notes that it was given up."""

    kind = "x"
    given_up = False

    def give_up(self) -> None:
        self.given_up = True


def answers(things: Any, ask: Any, jobs: int, stopped: list[str] | None = None, asker: Any = None) -> Iterator[Any]:
    asker = asker or Asker()
    return answers_to(things, ask, asker, jobs, (stopped if stopped is not None else []).append)


def test_one_job_keeps_the_order() -> None:
    assert list(answers(range(20), lambda n: n * n, 1)) == [n * n for n in range(20)]
    assert list(answers([], lambda n: n, 1)) == []


def test_a_slow_answer_holds_nobody_up() -> None:
    """In waves, the things after the slow one would not be asked about before its answer."""
    rest = threading.Event()

    def ask(n: int) -> int:
        if n == 0:
            assert rest.wait(20)
        if n == 11:
            rest.set()
        return n

    found = list(answers(range(12), ask, 2))
    assert sorted(found) == list(range(12))
    assert found.index(0) >= 8  # four at most are out at once, so eight are taken in before the last is asked


def test_things_are_taken_as_there_is_room() -> None:
    taken, answered = 0, 0

    def things() -> Iterator[int]:
        nonlocal taken
        for n in range(40):
            taken += 1
            assert taken - answered <= 2 * 3
            yield n

    for _ in answers(things(), lambda n: n, 3):
        answered += 1
    assert answered == 40


def test_a_budget_ends_the_work() -> None:
    def ask(n: int) -> int:
        if n >= 4:
            raise BudgetReached("4 calls")
        return n

    stopped: list[str] = []
    assert sorted(answers(iter(range(1000)), ask, 2, stopped)) == [0, 1, 2, 3]
    assert set(stopped) == {"4 calls"}


def test_an_error_of_every_request_is_raised() -> None:
    def ask(n: int) -> int:
        raise AutointerpError("no key")

    with pytest.raises(AutointerpError, match="no key"):
        list(answers(range(9), ask, 2))


def test_an_interrupt_gives_the_asker_up() -> None:
    asker = Asker()

    def things() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(answers(things(), lambda n: n, 1, asker=asker))
    assert asker.given_up

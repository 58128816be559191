from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from autointerp.db import queries
from autointerp.db.engine import Database
from autointerp.db.queries.labelers import LabelerKey
from autointerp.errors import AutointerpError
from autointerp.labeling.protocol import CropEvidence, Trial, Verdict
from autointerp.stages.score.base_rates import BaseRates
from tests.rows import dictionary

CROPS = [
    CropEvidence(0, i, f"prompt {i}", Image.new("RGB", (8, 8)), (0, 0, 8, 8), (4, 4), (0, i % 4), 0.0, None, "negative")
    for i in range(8)
]


class Asked:
    """Answers yes on the first cells, some of them unreadable, and counts how often it was asked."""

    def __init__(self, yes: int = 2, unread: int = 0) -> None:
        self.yes, self.unread, self.times, self.gate = yes, unread, 0, threading.Event()
        self.gate.set()

    def __call__(self, trials: Sequence[Trial]) -> list[Verdict]:
        self.times += 1
        self.gate.wait(10)
        read = [Verdict(trial, i < self.yes) for i, trial in enumerate(trials)]
        return read[: len(trials) - self.unread] + [Verdict(t, error="?") for t in trials[len(trials) - self.unread :]]


@pytest.fixture
def made(tmp_path: Path) -> tuple[Database, int, int]:
    database = Database(tmp_path / "a.db")
    database.upgrade()
    with database.session() as session:
        row = dictionary()
        session.add(row)
        session.flush()
        return database, row.id, queries.labelers.ensure(session, LabelerKey("judge", "a")).id


def trials(name: str) -> list[Trial]:
    return [Trial(name, "", crop, False, "base") for crop in CROPS]


def test_threads_share_one_asking(made: tuple[Database, int, int]) -> None:
    rates, ask = BaseRates(*made, CROPS), Asked()
    ask.gate.clear()
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(rates.get, "red", trials("red"), ask) for _ in range(4)]
        ask.gate.set()
        found = [one.result() for one in waiting]
    assert ask.times == 1
    assert {(one.rate.yes, one.rate.no) for one in found} == {(2, 6)}


def test_a_later_run_reuses_what_is_stored(made: tuple[Database, int, int]) -> None:
    rates, ask = BaseRates(*made, CROPS), Asked()
    asked = rates.get("red", trials("red"), ask)
    # Before a score is stored with it, the rate is not stored.
    assert BaseRates(*made, CROPS).get("red", trials("red"), ask).verdicts
    with made[0].session() as session:
        assert len(rates.store(session, "red", asked)) == 8
        # The answers belong to the first score alone.
        assert rates.store(session, "red", asked) == ()
    again = BaseRates(*made, CROPS).get("red", trials("red"), ask)
    assert ask.times == 2
    assert (again.rate.yes, again.rate.no, again.verdicts) == (2, 6, ())
    # Other cells or another judge are other questions.
    BaseRates(*made, CROPS[:4]).get("red", trials("red")[:4], ask)
    assert ask.times == 3


def test_few_readable_answers_are_no_base_rate(made: tuple[Database, int, int]) -> None:
    rates, ask = BaseRates(*made, CROPS), Asked(unread=5)
    asked = rates.get("red", trials("red"), ask)
    assert asked.rate.rate is None
    assert asked.rate.unscored == 5
    with made[0].session() as session:
        rates.store(session, "red", asked)
    BaseRates(*made, CROPS).get("red", trials("red"), ask)
    assert ask.times == 2
    assert BaseRates(*made, CROPS).get("red", trials("red"), Asked(unread=3)).rate.rate == pytest.approx(2 / 5)


def test_a_base_rate_with_gaps_is_asked_for_again(made: tuple[Database, int, int]) -> None:
    rates, ask = BaseRates(*made, CROPS), Asked(unread=3)
    asked = rates.get("red", trials("red"), ask)
    # What all labels of the name share in this run has its gaps beside it.
    assert (asked.rate.yes, asked.rate.no, asked.rate.unscored) == (2, 3, 3)
    with made[0].session() as session:
        assert len(rates.store(session, "red", asked)) == 8
    whole = Asked()
    again = BaseRates(*made, CROPS)
    found = again.get("red", trials("red"), whole)
    assert (found.rate.yes, found.rate.no, found.rate.unscored) == (2, 6, 0)
    with made[0].session() as session:
        again.store(session, "red", found)
    assert BaseRates(*made, CROPS).get("red", trials("red"), whole).rate == found.rate
    assert whole.times == 1


def test_an_error_reaches_all_that_wait(made: tuple[Database, int, int]) -> None:
    def fail(_trials: Sequence[Trial]) -> list[Verdict]:
        raise AutointerpError("no money", "get some")

    rates = BaseRates(*made, CROPS)
    for _ in range(2):
        with pytest.raises(AutointerpError, match="no money"):
            rates.get("red", trials("red"), fail)

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from autointerp.labeling.labelers.new_words import HOLDS, hold, new_clauses
from autointerp.labeling.protocol import ScoreEvidence, Trial, Verdict

from ..conftest import World


@pytest.mark.parametrize(
    ("name", "before", "expected"),
    [
        ("red striped circle", "red circle", ["red striped circle"]),
        ("the red circles", "red circle", []),
        # A word is not taken out of its clause: `left` by itself would be a place.
        ("left edge of red circle", "circle, red", ["left edge of red circle"]),
        ("red, left edge of the circle", "circle, red", ["left edge of the circle"]),
        ("blue, blue", "red", ["blue"]),
        ("circle", "red circle", []),
        ("circle, of the", "red circle", []),
    ],
)
def test_what_a_name_gains(name: str, before: str, expected: list[str]) -> None:
    assert new_clauses(name, before) == expected


class ShareOfWords:
    """Says yes to a word on a share of the questions about it, the first ones."""

    def __init__(self, **shares: float) -> None:
        self.shares, self.asked = shares, list[str]()

    def judge(self, trials: Sequence[Trial]) -> list[Verdict]:
        self.asked.append(trials[0].name)
        return [Verdict(trial, number < self.shares[trial.name] * len(trials)) for number, trial in enumerate(trials)]


def evidence(world: World, cells: int = 20) -> ScoreEvidence:
    crops = tuple(world.crop(i, (i % 8, 0), 1.0) for i in range(cells))
    return ScoreEvidence(3, active=crops, cells=crops)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [({"striped": 1.0}, True), ({"striped": HOLDS}, True), ({"striped": 0.75}, False), ({}, True)]
    + [({"left": 1.0, "edge": 0.5}, False), ({"left": 1.0, "edge": 0.9}, True)],
)
def test_each_clause_must_hold(world: World, shares: dict[str, float], expected: bool) -> None:
    judge: Any = ShareOfWords(**shares)
    assert hold(list(shares), judge, evidence(world), np.random.default_rng(0)) is expected
    assert judge.asked == list(shares)


def test_nothing_holds_where_there_is_nothing_to_hold_it_against(world: World) -> None:
    judge: Any = ShareOfWords(striped=1.0)
    assert hold(["striped"], judge, evidence(world, cells=1), np.random.default_rng(0)) is False
    assert judge.asked == []


def test_a_batch_is_waited_for(world: World) -> None:
    class Later:
        def judge(self, trials: Sequence[Trial]) -> list[Verdict]:
            return [Verdict(trial, waits=True) for trial in trials]

    judge: Any = Later()
    assert hold(["striped"], judge, evidence(world), np.random.default_rng(0)) is None

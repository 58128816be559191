from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from autointerp.labeling.judging.controls import CoinJudge, ControlJudge, OracleJudge, YesJudge
from autointerp.labeling.judging.gain import FIRST, NEXT, Gain
from autointerp.labeling.judging.methods import Limits
from autointerp.labeling.judging.sequential import SequentialTest
from autointerp.labeling.protocol import BaseRate, ScoreEvidence, ScoreResult, Trial, Verdict

from ..conftest import World


class ShareJudge(ControlJudge):
    """Says yes with a probability, and counts what it was asked."""

    model = "share"

    def __init__(self, share: float, seed: int = 0) -> None:
        super().__init__(seed)
        self.share, self.asked = share, 0
        self.rng = np.random.default_rng(seed)

    def answers(self, trials: Sequence[Trial], rng: np.random.Generator) -> list[bool]:
        self.asked += len(trials)
        return [bool(one) for one in self.rng.random(len(trials)) < self.share]


def evidence(world: World, active: int = 40, cells: int = 60) -> ScoreEvidence:
    crops = [world.crop(i % len(world.images), (i % 8, i // 8 % 8), 1.0) for i in range(active + cells)]
    return ScoreEvidence(7, active=tuple(crops[:active]), cells=tuple(crops[active:]))


def scored(judge: Any, shown: ScoreEvidence, method: Gain, seed: int = 0) -> ScoreResult:
    verdicts = judge.judge(method.shared_trials("red", shown))
    base = BaseRate(sum(v.holds is True for v in verdicts), sum(v.holds is False for v in verdicts))
    trials = method.trials("red", "Fires on red.", shown, np.random.default_rng(seed))
    return method.result(method.ask(judge, trials, base), 0, base)


@pytest.mark.parametrize(("judge", "value"), [(OracleJudge(), 1.0), (YesJudge(), 0.0)])
def test_judges_whose_score_is_known(world: World, judge: ControlJudge, value: float) -> None:
    result = scored(judge, evidence(world), Gain())
    assert result.value == value
    assert result.ci_low is not None
    assert result.ci_high is not None
    assert -1 <= result.ci_low <= value <= result.ci_high <= 1


def test_a_coin_is_at_chance(world: World) -> None:
    found = [scored(CoinJudge(seed), evidence(world), Gain(), seed).value for seed in range(300)]
    assert abs(np.mean([value for value in found if value is not None])) < 0.04


def test_the_name_alone_is_asked_about(world: World) -> None:
    trials = Gain().trials("red", "Fires on red.", evidence(world), np.random.default_rng(0))
    shared = Gain().shared_trials("red", evidence(world))
    assert {(t.name, t.explanation) for t in trials + shared} == {("red", "")}
    assert len(trials) == 20
    assert len(shared) == 50
    # Features of one name are asked about the same cells, so that the answers are theirs too.
    others = Gain().shared_trials("red", replace(evidence(world), latent=9))
    assert [t.crop and t.crop.crop_id for t in shared] == [t.crop and t.crop.crop_id for t in others]


def test_clear_answers_are_few(world: World) -> None:
    shown, base = evidence(world, active=120), BaseRate(5, 45)
    for share, most in ((1.0, 15), (0.0, 10)):
        judge: Any = ShareJudge(share)
        method = Gain(Limits(questions=100))
        verdicts = method.ask(judge, method.trials("red", "", shown, np.random.default_rng(0)), base)
        assert len(verdicts) == judge.asked <= most
        assert method.result(verdicts, 0, base).holds is (share == 1.0)
    # Between the two hypotheses it goes on to the limit, and says that the answers are not clear.
    open_ended = [scored(ShareJudge(0.8, seed), shown, Gain()) for seed in range(30)]
    assert max(one.tp + one.fn for one in open_ended) == 20
    assert any(one.holds is None for one in open_ended)


def test_rounds_fill_requests(world: World) -> None:
    class PartyJudge(ShareJudge):
        together = 8

    for share, expected in ((1.0, 16), (0.8, 20)):
        shown = evidence(world)
        judge: Any = PartyJudge(share, 3)
        Gain().ask(judge, Gain().trials("red", "", shown, np.random.default_rng(0)), BaseRate(5, 45))
        assert judge.asked == expected


def test_a_batch_takes_all_questions_at_once(world: World) -> None:
    class WaitingJudge(ShareJudge):
        def judge(self, trials: Sequence[Trial]) -> list[Verdict]:
            self.asked += len(trials)
            return [Verdict(trial, waits=True) for trial in trials]

    method = Gain()
    judge: Any = WaitingJudge(1.0)
    verdicts = method.ask(judge, method.trials("red", "", evidence(world), np.random.default_rng(0)), BaseRate(5, 45))
    assert judge.asked == len(verdicts) == 20


def test_unreadable_answers_are_unscored(world: World) -> None:
    shown, method = evidence(world), Gain()
    trials = method.trials("red", "", shown, np.random.default_rng(0))
    some = [Verdict(t, None, error="?") if i % 2 else Verdict(t, True) for i, t in enumerate(trials)]
    result = method.result(some, 0, BaseRate(5, 45))
    assert (result.tp, result.fn, result.unscored) == (10, 0, 10)
    assert result.value == pytest.approx(0.9)
    nothing = method.result([Verdict(t, True) for t in trials], 0, BaseRate(0, 0, 50))
    assert nothing.value is None
    assert nothing.unscored == 50
    assert nothing.note == "no readable answer"


@cache
def _stops(share: float, base: float, most: int) -> dict[tuple[int, int], float]:
    """Probability of each end (answers, yes) of the sequence of questions, exactly."""
    test = SequentialTest.against(base)
    alive, ends = {0: 1.0}, dict[tuple[int, int], float]()
    for n in range(1, most + 1):
        after: dict[int, float] = {}
        for yes, weight in alive.items():
            after[yes + 1] = after.get(yes + 1, 0) + weight * share
            after[yes] = after.get(yes, 0) + weight * (1 - share)
        alive = {}
        for yes, weight in after.items():
            is_end = n == most or (n >= FIRST and (n - FIRST) % NEXT == 0 and test.decision(yes, n - yes) is not None)
            (ends if is_end else alive)[(n, yes) if is_end else yes] = weight  # type: ignore[index]
    return ends


@pytest.mark.parametrize("most", [20, 100])
def test_intervals_of_the_precision_cover_after_early_stops(world: World, most: int) -> None:
    """The exact probability that the interval holds the precision, over all ends of the questions."""
    method = Gain(Limits(questions=most))
    trials = [Trial("red", "", world.crop(i, (0, 0), 1.0), True, "active") for i in range(most)]
    coverage = []
    for share in np.linspace(0.02, 0.98, 25):
        held = 0.0
        ends = _stops(float(share), 0.1, most)
        assert math.isclose(sum(ends.values()), 1)
        for (n, yes), weight in ends.items():
            verdicts = [Verdict(trial, i < yes) for i, trial in enumerate(trials[:n])]
            precision = method.result(verdicts, 0, BaseRate(5, 45)).precision
            assert precision is not None
            held += weight * (precision.low <= share <= precision.high)
        coverage.append(held)
    assert 0.93 < np.mean(coverage) < 0.975
    # With many questions, a share near 0.86 is where early stops cost most.
    assert min(coverage) > (0.9 if most == 20 else 0.86)


def test_early_stops_bend_the_precision_little() -> None:
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        mean = sum(weight * yes / n for (n, yes), weight in _stops(share, 0.1, 20).items())
        assert abs(mean - share) < 0.035

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autointerp.labeling.judging import SCORES, score_method
from autointerp.labeling.judging.controls import OracleJudge
from autointerp.labeling.judging.methods import Method
from autointerp.labeling.protocol import BaseRate, ScoreEvidence, Trial, Verdict

from ..conftest import CONTROL_JUDGES, World
from .trials import evidence_of, scored, trials_of

EXPECTED = {"oracle": (1.0, 1.0), "coin": (-0.04, 0.04), "always-yes": (0.0, 0.0)}
"""What control judges get: for the oracle the value, for the others how far it is from the score's chance."""


@pytest.fixture(params=SCORES)
def method(request: pytest.FixtureRequest) -> Method:
    return score_method(request.param)


def key(trial: Trial) -> tuple[object, ...]:
    """What a trial is, without arrays and pictures."""
    shown = None if trial.crop is None else (trial.crop.crop_id, trial.crop.box)
    return trial.name, trial.truth, trial.kind, trial.panel, trial.prompt, trial.seed, shown


@pytest.mark.parametrize("kind", CONTROL_JUDGES)
def test_control_judges_get_their_value(method: Method, kind: str, world: World) -> None:
    values, judge = [], CONTROL_JUDGES[kind]()
    for latent in range(300 if kind == "coin" else 5):
        score = scored(method, judge, world, latent)
        assert score.method == method.name
        assert score.value is not None
        assert score.ci_low is not None
        assert score.ci_high is not None
        assert 2 * method.chance - 1 <= score.ci_low <= score.value <= score.ci_high <= 1
        values.append(score.value - (0 if kind == "oracle" else method.chance))
    low, high = EXPECTED[kind]
    assert low - 1e-9 <= np.mean(values) <= high + 1e-9


def test_only_what_is_needed_is_used(method: Method, world: World) -> None:
    """Without the other parts the trials are the same."""
    whole = evidence_of(world, 3)
    bare = replace(ScoreEvidence(3), **{part: getattr(whole, part) for part in method.needs})
    one, two = (method.trials("red", "", e, np.random.default_rng(0)) for e in (whole, bare))
    assert one
    assert [key(t) for t in one] == [key(t) for t in two]


def test_order_gives_nothing_away(method: Method, world: World) -> None:
    """Where a judge sees several trials at once, truth is anywhere among them."""
    if method.question is None:
        pytest.skip("nobody sees the order")
    trials = [trials_of(method, world, latent) for latent in range(40)]
    if method.name == "gain":
        # Where the feature is active and where it may not be is asked apart, because labels share the latter.
        assert {trial.truth for some in trials for trial in some} == {True}
        return
    first = [np.mean([t.truth for t in some[: len(some) // 2]]) for some in trials]
    assert abs(np.mean(first) - np.mean([t.truth for some in trials for t in some])) < 0.06
    if method.question.panel == 1:
        assert all(sum(t.truth for t in some) == len(some) / 2 for some in trials)
    assert all(len(some) <= method.question.trials for some in trials)


def test_words_are_the_labels_or_none(method: Method, world: World) -> None:
    said = {(t.name, t.explanation) for t in trials_of(method, world, 1)}
    explained = "" if method.name == "gain" else "Fires on red."
    assert said == ({("red circle", explained)} if method.of_label else {("", "")})


def test_too_little_is_a_note_and_no_value(method: Method) -> None:
    trials = method.trials("red", "", ScoreEvidence(0), np.random.default_rng(0))
    score = method.result(OracleJudge().judge(trials), 0)
    assert not trials
    assert score.value is None
    assert "too few" in score.note


def test_unreadable_is_unscored(method: Method, world: World) -> None:
    trials = trials_of(method, world, 2)
    answers = OracleJudge().judge(trials)
    mixed = [Verdict(v.trial, error="?") if i % 4 == 0 else v for i, v in enumerate(answers)]
    base = BaseRate(0, 50) if method.name == "gain" else None
    score = method.result(mixed, 0, base)
    assert score.value == 1.0
    assert score.unscored == len(mixed[::4])

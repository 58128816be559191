"""The score `gain`: how much more often the name holds where the feature is active than elsewhere.

The value is P(name holds | the feature is active in the cell) - P(name holds in a cell), from -1 to 1. Chance is 0: a
judge that says yes to all, and one that tosses a coin, find the name as often in other cells. It is fuzzing with other
marks. Right marks are of *any* cell above a quarter of the feature's maximum in place of each picture's strongest one,
and the others are random cells of the layer.

The score asks about the name alone, and not about the explanation. Features of one name then share the base rate, which
a judge is asked for once. Questions about a feature end when their answers are clear (`SequentialTest`).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from typing_extensions import override

from autointerp.labeling.asking.messages import marked_view
from autointerp.labeling.asking.replies import DETECT_SCHEMA, DetectReply
from autointerp.labeling.judging.detection import read_answers
from autointerp.labeling.judging.intervals import MarkedAnswer, clustered_share, difference, share_of
from autointerp.labeling.judging.methods import LEAST_TRUE, Limits, Method
from autointerp.labeling.judging.questions import TrialQuestion
from autointerp.labeling.judging.sequential import SequentialTest
from autointerp.labeling.protocol import BaseRate, Judge, ScoreEvidence, ScoreResult, Trial, Verdict

FIRST, NEXT = 10, 5
"""Questions before the test looks at the answers for the first time, and between its looks.

A test that looks earlier ends at the first chance run of answers, which bends the precision: by 0.09 on average after
four questions, by 0.03 after ten.
"""


class Gain(Method):
    """Shows marked cells: some where the feature is active, and random ones of the layer, which labels share."""

    name = "gain"
    chance = 0.0
    needs = frozenset({"active", "cells"})

    def __init__(self, limits: Limits | None = None) -> None:
        """Take how much is asked."""
        self.limits = limits or Limits()
        self.question = TrialQuestion(
            "gain",
            "fuzz.md.j2",
            marked_view,
            DETECT_SCHEMA,
            DetectReply,
            read_answers,
            trials=self.limits.questions,
            shared=self.limits.cells,
            by_cell=True,
        )

    @override
    def within(self, limits: Limits) -> Gain:
        """Return the score with other limits."""
        return Gain(limits)

    @override
    def trials(self, name: str, explanation: str, evidence: ScoreEvidence, rng: np.random.Generator) -> list[Trial]:
        """Return a question for each drawn active cell, up to the limit, in random order."""
        del explanation
        order = rng.permutation(len(evidence.active))[: self.limits.questions]
        if len(order) < LEAST_TRUE or len(evidence.cells) < LEAST_TRUE:
            return []
        return [Trial(name, "", evidence.active[i], True, "active", latent=evidence.latent) for i in order]

    @override
    def shared_trials(self, name: str, evidence: ScoreEvidence) -> list[Trial]:
        """Return a question for each random cell of the layer."""
        return [Trial(name, "", crop, False, "base") for crop in evidence.cells[: self.limits.cells]]

    @override
    def ask(self, judge: Judge, trials: Sequence[Trial], base: BaseRate | None) -> list[Verdict]:
        """Ask round by round until the answers are clear; each round fills whole requests.

        Where requests wait for a batch, all questions are asked, because a batch takes hours.
        """
        test = SequentialTest.against(0.0 if base is None or base.rate is None else base.rate)
        verdicts: list[Verdict] = []
        while len(verdicts) < len(trials):
            asked = len(verdicts)
            size = ceil((NEXT if asked else FIRST) / judge.together) * judge.together
            verdicts += judge.judge(trials[asked : asked + size])
            if any(verdict.waits for verdict in verdicts):
                return verdicts + judge.judge(trials[asked + size :])
            if _decision(test, verdicts) is not None:
                break
        return verdicts

    @override
    def result(self, verdicts: Sequence[Verdict], seed: int, base: BaseRate | None = None) -> ScoreResult:
        """Return the gain with its interval, made of those of the precision and of the base rate."""
        kept, base = tuple(verdicts), base or BaseRate(0, 0)
        active = [v for v in verdicts if v.trial.kind == "active"]
        read = [v for v in active if v.holds is not None]
        yes = sum(v.holds is True for v in read)
        tp, fn, fp, tn = yes, len(read) - yes, base.yes, base.no
        unscored = len(active) - len(read) + base.unscored
        if len(read) < LEAST_TRUE or base.rate is None:
            note = "no readable answer" if active else "too few held-out cells in which the feature is active"
            return ScoreResult(self.name, None, None, None, tp, fp, tn, fn, unscored, note, kept)
        marked = [(v.trial.crop, v.holds is True) for v in read if v.trial.crop is not None]
        precision = clustered_share([MarkedAnswer(crop.image_id, holds, crop.weight) for crop, holds in marked])
        elsewhere = share_of(base.yes, base.yes + base.no)
        gain = difference(precision, elsewhere)
        return ScoreResult(
            self.name,
            *gain,
            *(tp, fp, tn, fn),
            unscored=unscored,
            verdicts=kept,
            precision=precision,
            base_rate=elsewhere,
            holds=SequentialTest.against(elsewhere.value).decision(yes, len(read) - yes),
        )


def _decision(test: SequentialTest, verdicts: Sequence[Verdict]) -> bool | None:
    return test.decision(sum(v.holds is True for v in verdicts), sum(v.holds is False for v in verdicts))

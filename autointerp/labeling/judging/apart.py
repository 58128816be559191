"""The score `apart`: which marked cells are the feature's, and which are those of features of nearly the same name?

The value is balanced accuracy. Chance is 0.5: what holds of all these features tells none of them apart. A feature
whose name no other feature has nearly (`labeling.namesakes`) gets no value, because there is nothing to tell it from.

Half of the marks lie in any cell of the score split in which the feature is active, and half in such cells of its
namesakes, each of which gives as many as the others. Cells in which the feature is known to be active, too, are left
out. It is known where the harvest kept a map of the feature for the picture; elsewhere a cell may belong to both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from typing_extensions import override

from autointerp.labeling.asking.messages import marked_view
from autointerp.labeling.asking.replies import DETECT_SCHEMA, DetectReply
from autointerp.labeling.judging.detection import TRIALS, read_answers
from autointerp.labeling.judging.intervals import balanced_score
from autointerp.labeling.judging.methods import LEAST_TRUE, Method, draw
from autointerp.labeling.judging.questions import TrialQuestion
from autointerp.labeling.protocol import BaseRate, ScoreEvidence, ScoreResult, Trial, Verdict

APART = TrialQuestion(
    "apart", "fuzz.md.j2", marked_view, DETECT_SCHEMA, DetectReply, read_answers, TRIALS, by_cell=True
)


class Apart(Method):
    """Shows marked cells: half of them the feature's, half those of its namesakes."""

    name = "apart"
    question = APART
    needs = frozenset({"active", "namesakes"})

    @override
    def trials(self, name: str, explanation: str, evidence: ScoreEvidence, rng: np.random.Generator) -> list[Trial]:
        """Return as many cells of the feature as of its namesakes."""
        count = min(len(evidence.active), len(evidence.namesakes), TRIALS // 2)
        if count < LEAST_TRUE:
            return []
        shown = [(c, True, "active") for c in draw(rng, evidence.active, count)]
        shown += [(c, False, "namesake") for c in evidence.namesakes[:count]]
        trials = [Trial(name, explanation, *shown[i]) for i in rng.permutation(len(shown))]
        return [replace(trial, difference=evidence.difference) for trial in trials]

    @override
    def result(self, verdicts: Sequence[Verdict], seed: int, base: BaseRate | None = None) -> ScoreResult:
        """Return the balanced accuracy."""
        found = balanced_score(verdicts, self.name, seed)
        note = "too few cells, of the feature or of features of nearly the same name"
        return found if verdicts else replace(found, note=note)

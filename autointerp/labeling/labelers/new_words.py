"""Whether what a name would gain holds: a judge is asked about it on held-out cells of the feature.

A clause is asked about as a whole. Of `left edge of red circle` the word `left` by itself would be a place.
"""

from __future__ import annotations

import numpy as np

from autointerp.labeling.evidence.phrases import clause_texts
from autointerp.labeling.judging.gain import Gain
from autointerp.labeling.judging.methods import LEAST_TRUE
from autointerp.labeling.namesakes import words_of
from autointerp.labeling.protocol import Judge, ScoreEvidence

HOLDS = 0.8
"""Share of a feature's active cells in which what is new must hold, as for a concept that is a truth."""


def new_clauses(name: str, before: str) -> list[str]:
    """Return the clauses of a name that have a content word which an earlier name lacks, each once."""
    known = {word for clause in words_of(before) for word in clause}
    return [one for one in dict.fromkeys(clause_texts(name)) if not ({w for c in words_of(one) for w in c} <= known)]


def hold(said: list[str], judge: Judge, evidence: ScoreEvidence, rng: np.random.Generator) -> bool | None:
    """Return whether each clause holds in at least `HOLDS` of the cells; None while requests wait for a batch.

    Args:
        said: The clauses.
        judge: Answers the questions of the score `gain`.
        evidence: Active cells of the score split. With too few of them nothing holds.
        rng: Source of the order in which cells are shown.
    """
    for clause in said:
        trials = Gain().trials(clause, "", evidence, rng)
        verdicts = judge.judge(trials) if trials else []
        if any(verdict.waits for verdict in verdicts):
            return None
        answers = [v.trial.crop.weight * np.array([v.holds, 1.0]) for v in verdicts if v.trial.crop and v.scored]
        yes, asked = np.sum(answers, 0) if len(answers) >= LEAST_TRUE else (0.0, 1.0)
        if yes < HOLDS * asked:
            return False
    return True

"""Whether the words that a name would gain hold: a judge is asked about them on held-out cells of the feature."""

from __future__ import annotations

import numpy as np

from autointerp.labeling.evidence.phrases import clauses
from autointerp.labeling.judging.gain import Gain
from autointerp.labeling.judging.methods import LEAST_TRUE
from autointerp.labeling.namesakes import words_of
from autointerp.labeling.protocol import Judge, ScoreEvidence

HOLDS = 0.8
"""Share of a feature's active cells in which each new word must hold, as for a concept that is a truth."""


def new_words(name: str, before: str) -> list[str]:
    """Return the content words of a name that an earlier name lacks, in their order, each once."""
    known = {word for clause in words_of(before) for word in clause}
    found = [word for clause in clauses(name) for word in clause]
    return [word for word in dict.fromkeys(found) if not ({one for c in words_of(word) for one in c} <= known)]


def hold(words: list[str], judge: Judge, evidence: ScoreEvidence, rng: np.random.Generator) -> bool | None:
    """Return whether each word holds in at least `HOLDS` of the cells; None while requests wait for a batch.

    Args:
        words: The words.
        judge: Answers the questions of the score `gain`.
        evidence: Active cells of the score split. With too few of them nothing holds.
        rng: Source of the order in which cells are shown.
    """
    for word in words:
        trials = Gain().trials(word, "", evidence, rng)
        verdicts = judge.judge(trials) if trials else []
        if any(verdict.waits for verdict in verdicts):
            return None
        answers = [v.trial.crop.weight * np.array([v.holds, 1.0]) for v in verdicts if v.trial.crop and v.scored]
        yes, asked = np.sum(answers, 0) if len(answers) >= LEAST_TRUE else (0.0, 1.0)
        if yes < HOLDS * asked:
            return False
    return True

"""The base of all scores: what a score shows a judge of a feature and its label, and how verdicts become its value.

A score is a class of `Method` in a module of its own, and a row of `SCORES`. A coin and a judge that always says yes
get its chance level: 0.5, and 0 for `gain`. A judge that knows the truth gets 1.0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from autointerp.labeling.judging.intervals import balanced_score
from autointerp.labeling.judging.questions import TrialQuestion
from autointerp.labeling.protocol import BaseRate, CropEvidence, Judge, ScoreEvidence, ScoreResult, Trial, Verdict

LEAST_TRUE = 2
"""True trials without which there is no score."""


@dataclass(frozen=True)
class Limits:
    """How much the score `gain` asks.

    Attributes:
        questions: Cells of a feature, at most.
        cells: Random cells of the layer, for the base rate of a name.
    """

    questions: int = 20
    cells: int = 50


class Method(ABC):
    """A score.

    Attributes:
        name: What the score is called on the command line and in the database.
        chance: The value of a judge that knows nothing.
        answered_by: What answers the trials: a judge, the workspace's embedder, or the model that is explained.
        of_label: Whether the label's words are shown. If not, features without a name are scored too.
        needs: The parts of `ScoreEvidence` that trials are made of.
        question: How a VLM is asked; None where no judge answers.
        limits: How much is asked, of a score that stops early.
    """

    name: ClassVar[str]
    chance: ClassVar[float] = 0.5
    answered_by: ClassVar[Literal["judge", "embedder", "model"]] = "judge"
    of_label: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]]
    question: TrialQuestion | None = None
    limits = Limits()

    def within(self, limits: Limits) -> Method:
        """Return the score with these limits, where it has any."""
        del limits
        return self

    @abstractmethod
    def trials(self, name: str, explanation: str, evidence: ScoreEvidence, rng: np.random.Generator) -> list[Trial]:
        """Return the trials of a label in random order; none where there is too little to show."""

    def shared_trials(self, name: str, evidence: ScoreEvidence) -> list[Trial]:
        """Return the trials whose answers all labels of a name share; none, unless a score has a base rate."""
        del name, evidence
        return []

    def ask(self, judge: Judge, trials: Sequence[Trial], base: BaseRate | None) -> list[Verdict]:
        """Ask a judge for the verdicts on a label's trials: on all of them, unless a score stops earlier.

        Args:
            judge: The judge.
            trials: The trials of one label.
            base: The answers to the shared trials of its name; None for a score without such trials.
        """
        del base
        return judge.judge(trials)

    def result(self, verdicts: Sequence[Verdict], seed: int, base: BaseRate | None = None) -> ScoreResult:
        """Return the value with its interval: balanced accuracy, unless a score defines another.

        Args:
            verdicts: The verdicts on the label's trials.
            seed: Seed of the interval's bootstrap.
            base: As for `ask`.
        """
        del base
        return balanced_score(verdicts, self.name, seed)


def draw(rng: np.random.Generator, crops: Sequence[CropEvidence], count: int) -> list[CropEvidence]:
    """Draw `count` crops without replacement, in their order."""
    return [crops[i] for i in np.sort(rng.permutation(len(crops))[:count])]

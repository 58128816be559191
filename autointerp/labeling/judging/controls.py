"""Judges whose score is known before: they test the scores."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from typing_extensions import Self, override

from autointerp.labeling.protocol import Trial, Verdict

if TYPE_CHECKING:
    from autointerp.labeling.asking.protocol import Asker
    from autointerp.labeling.judging.questions import TrialQuestion
    from autointerp.labeling.setup import LabelerSetup


class ControlJudge(ABC):
    """A judge that reads neither words nor pictures; the same trials always get the same answers."""

    kind, base_url, prompt_hash = "control", "", ""
    model: ClassVar[str]
    asker = None
    jobs = together = 1

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.config: dict[str, Any] = {"seed": seed}

    @classmethod
    def make_judge(cls, setup: LabelerSetup, question: TrialQuestion, asker: Asker | None = None) -> Self:
        """See `JudgeKind`; a control answers every question and asks no VLM."""
        del question, asker
        return cls(setup.seed)

    def judge(self, trials: Sequence[Trial]) -> list[Verdict]:
        """Answer all trials; a yes is the number 1 too, and a no 0."""
        asked = "\n".join(
            f"{t.latent}|{t.name}|{t.kind}|{t.prompt}|{t.seed}|{t.crop and t.crop.crop_id}" for t in trials
        )
        answers = self.answers(trials, np.random.default_rng((self.seed, zlib.crc32(asked.encode()))))
        return [Verdict(trial, holds, value=float(holds)) for trial, holds in zip(trials, answers, strict=True)]

    @abstractmethod
    def answers(self, trials: Sequence[Trial], rng: np.random.Generator) -> list[bool]:
        """Return whether the label holds, for each trial; `rng` depends on the seed and the trials alone."""


class OracleJudge(ControlJudge):
    """Knows the truth: its score is 1.0."""

    model = "oracle"

    @override
    def answers(self, trials: Sequence[Trial], rng: np.random.Generator) -> list[bool]:
        """Return the truth of each trial."""
        return [trial.truth for trial in trials]


class CoinJudge(ControlJudge):
    """Answers at random: its scores are at chance."""

    model = "coin"

    @override
    def answers(self, trials: Sequence[Trial], rng: np.random.Generator) -> list[bool]:
        """Return the fall of a coin for each trial."""
        return [bool(side) for side in rng.random(len(trials)) < 0.5]


class YesJudge(ControlJudge):
    """Always says yes: its scores are at chance."""

    model = "always-yes"

    @override
    def answers(self, trials: Sequence[Trial], rng: np.random.Generator) -> list[bool]:
        """Return yes for each trial."""
        return [True] * len(trials)

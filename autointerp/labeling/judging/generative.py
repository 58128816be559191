"""The score `generative`: does the feature fire in images that are generated from the label's words?

It is the AUROC of the feature's activation in these images against images of unrelated prompts: FADE's clarity with its
sign. Below 0.5 the words suppress the feature.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from typing_extensions import override

from autointerp.labeling.evidence.phrases import clauses
from autointerp.labeling.judging.intervals import auroc_score
from autointerp.labeling.judging.methods import Method
from autointerp.labeling.protocol import BaseRate, ScoreEvidence, ScoreResult, Trial, Verdict

OWN_IMAGES, UNRELATED_IMAGES = 8, 16
"""Images that are generated from a label's words, and images of unrelated prompts."""


class Generative(Method):
    """AUROC of the feature's largest activation in generated images; the explained model answers."""

    name = "generative"
    answered_by = "model"
    needs = frozenset({"unrelated"})

    @override
    def trials(self, name: str, explanation: str, evidence: ScoreEvidence, rng: np.random.Generator) -> list[Trial]:
        """Return images of the label's words and unrelated images; the former start from the noise of the latter.

        A prompt is unrelated if none of its clauses has all the words of a clause of the label; of these, prompts that
        say the fewest of the label's words come first. So `night background` has unrelated prompts, although every
        prompt says a background.
        """
        apart = _unrelated(name, evidence.unrelated)[:UNRELATED_IMAGES]
        if len(apart) < UNRELATED_IMAGES // 2:
            return []
        shown = [(True, "generated", name, seed) for _, seed in apart[:OWN_IMAGES]]
        shown += [(False, "unrelated", prompt, seed) for prompt, seed in apart]
        return [
            Trial(name, explanation, None, truth, kind, None, prompt, seed, evidence.latent)
            for truth, kind, prompt, seed in shown
        ]

    @override
    def result(self, verdicts: Sequence[Verdict], seed: int, base: BaseRate | None = None) -> ScoreResult:
        """Return the AUROC of the activations."""
        del base
        if not verdicts:
            return ScoreResult(self.name, None, note="too few prompts that do not say the label's words")
        return auroc_score(verdicts, self.name, seed)


def _unrelated(name: str, prompts: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    wanted = [set(clause) for clause in clauses(name)]
    said = set().union(*wanted)
    found: list[tuple[int, tuple[str, int]]] = []
    for prompt in prompts:
        parts = [set(clause) for clause in clauses(prompt[0])]
        if not any(words <= part for words in wanted for part in parts):
            found.append((len(said & set().union(*parts)), prompt))
    return [prompt for _, prompt in sorted(found, key=lambda one: one[0])]

"""The score `embedding`: how similar the label's words are to held-out crops of the feature, against other crops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from typing_extensions import override

from autointerp.labeling.evidence.windows import REGIONS
from autointerp.labeling.judging.intervals import auroc_score
from autointerp.labeling.judging.methods import Method
from autointerp.labeling.protocol import BaseRate, ScoreEvidence, ScoreResult, Trial, Verdict


class Embedding(Method):
    """AUROC of the similarity of words and crops, in the space of the workspace's embedder."""

    name = "embedding"
    answered_by = "embedder"
    needs = frozenset({"firing", "silent"})

    @override
    def trials(self, name: str, explanation: str, evidence: ScoreEvidence, rng: np.random.Generator) -> list[Trial]:
        """Return every held-out crop. The order does not matter: the embedder sees one crop at a time."""
        shown = [(c, True, "firing") for c in evidence.firing] + [(c, False, "random") for c in evidence.silent]
        return [Trial(name, explanation, *one) for one in shown]

    @override
    def result(self, verdicts: Sequence[Verdict], seed: int, base: BaseRate | None = None) -> ScoreResult:
        """Return the AUROC of the similarities."""
        del base
        return auroc_score(verdicts, self.name, seed)


def text_for_embedding(name: str) -> str:
    """Return the words of a label's name that a crop can show: without the place, unless nothing else is named."""
    parts = [part.strip() for part in name.split(",")]
    shown = [part for part in parts if part and part not in REGIONS]
    return " ".join(shown) or name

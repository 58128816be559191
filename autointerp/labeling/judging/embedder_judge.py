"""The embedder as a judge: it answers a trial with the similarity of the label's words and the crop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autointerp.labeling.judging.embedding import text_for_embedding
from autointerp.labeling.protocol import CropEvidence, Trial, Verdict
from autointerp.search.protocol import Embedder


class EmbedderJudge:
    """Answers with the cosine of the label's words and the crop, each embedded."""

    kind, base_url, prompt_hash = "embedder", "", ""
    asker = None
    jobs = together = 1

    def __init__(self, embedder: Embedder, vectors: Callable[[Sequence[CropEvidence]], np.ndarray]) -> None:
        """Keep the parts of the judge.

        Args:
            embedder: Embeds the words.
            vectors: Returns the unit vectors of crops, float32 [n, dim].
        """
        self.embedder, self.vectors, self.model = embedder, vectors, embedder.name
        self.config: dict[str, Any] = {}

    def judge(self, trials: Sequence[Trial]) -> list[Verdict]:
        """Measure all trials; they may be of several labels."""
        if not trials:
            return []
        names = list(dict.fromkeys(trial.name for trial in trials))
        words = dict(zip(names, self.embedder.embed_texts([text_for_embedding(n) for n in names]), strict=True))
        crops = self.vectors([trial.crop for trial in trials if trial.crop is not None])
        return [
            Verdict(trial, value=float(words[trial.name] @ vector)) for trial, vector in zip(trials, crops, strict=True)
        ]

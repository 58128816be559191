"""The labeler `prompts`: names a feature by a phrase of its prompts. It looks at no picture and needs no model.

The log-odds of a phrase in the feature's prompts are compared with its log-odds in the layer's prompts. An informative
Dirichlet prior from the layer (Monroe, Colaresi and Quinn 2008, "Fightin' Words") keeps rare phrases from winning by
chance. The unit of counting is a prompt, not a word. So the variance keeps the terms of prompts without the phrase,
which are negligible for words. A feature's prompts are weighted by the activation of their crop.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.errors import AutointerpError
from autointerp.labeling.evidence.phrases import Phrase, clauses, frequent, runs_and_pairs, sample
from autointerp.labeling.labelers.without_vlm import WithoutVlm
from autointerp.labeling.protocol import FeatureEvidence, LabelResult, LayerContext

if TYPE_CHECKING:
    from autointerp.labeling.setup import LabelerSetup


@dataclass(frozen=True)
class PromptsOptions:
    """Options of the labeler `prompts`."""

    prior: float = 10.0
    """Strength of the prior, in prompts (alpha_0)."""
    min_z: float = 3.0
    """Least z of a name."""
    margin: float = 0.5
    """Distance in z below the best at which a rarer phrase is still preferred."""
    min_coverage: float = 0.4
    """Share of the feature's weighted prompts that must say the phrase."""
    min_count: int = 2
    """Prompts of the layer that must say a phrase."""
    max_phrases: int = 20000
    """Phrases that are considered at most, the most frequent ones."""


class PromptsLabeler(WithoutVlm):
    """Names a feature by the phrase that its prompts say more often than the layer's prompts do."""

    kind = "prompts"
    model = ""

    def __init__(self, options: PromptsOptions | None = None) -> None:
        self.options = options or PromptsOptions()
        self.config: dict[str, Any] = asdict(self.options)
        self._phrases: list[Phrase] = []
        self._index: dict[Phrase, int] = {}
        self._ids: dict[str, np.ndarray] = {}
        self._counts = np.zeros(0)
        self._total = 0

    @classmethod
    def make_labeler(cls, setup: LabelerSetup) -> PromptsLabeler:
        """See `LabelerKind`; the labeler needs nothing of the command."""
        del setup
        return cls()

    def prepare(self, context: LayerContext) -> None:
        """Count the phrases of the layer's prompts."""
        said = (self._said(prompt) for prompt in sample(context.prompts))
        self._phrases = frequent(said, self.options.min_count, self.options.max_phrases)
        self._index = {phrase: i for i, phrase in enumerate(self._phrases)}
        self._ids.clear()
        self._counts = np.zeros(len(self._phrases))
        for prompt in context.prompts:
            self._counts[self._prompt_ids(prompt)] += 1
        self._total = len(context.prompts)

    @staticmethod
    def _said(prompt: str) -> frozenset[Phrase]:
        """Return the phrases of a prompt."""
        return frozenset().union(*(runs_and_pairs(c) for c in clauses(prompt)))

    def _prompt_ids(self, prompt: str) -> np.ndarray:
        """Return the indices of the considered phrases that a prompt says."""
        if prompt not in self._ids:
            ids = [self._index[p] for p in self._said(prompt) if p in self._index]
            self._ids[prompt] = np.array(sorted(ids), np.int64)
        return self._ids[prompt]

    def label(self, features: Iterable[FeatureEvidence]) -> Iterator[LabelResult]:
        """Answer for each feature, in order.

        Raises:
            AutointerpError: `prepare` was not called.
        """
        if not self._total:
            raise AutointerpError(
                "the layer has no prompts to compare with", "harvest images made from prompts, or use --labeler clip"
            )
        for feature in features:
            yield self._label(feature)

    def scores(self, feature: FeatureEvidence) -> tuple[np.ndarray, np.ndarray]:
        """Return z of the weighted log-odds ratio, and the share of the feature's prompts, of each phrase.

        Both are float64 [phrases]. The weights sum to Kish's effective number of prompts, so that one dominant crop
        makes no certainty.
        """
        weights = np.array([c.activation for c in feature.crops], np.float64)
        weights = weights * weights.sum() / np.square(weights).sum()
        own = np.zeros(len(self._phrases))
        for crop, weight in zip(feature.crops, weights, strict=True):
            own[self._prompt_ids(crop.prompt)] += weight
        n_own, n_all = float(weights.sum()), float(self._total)
        prior_all = self.options.prior
        prior = prior_all * (self._counts + 0.5) / (n_all + 1.0)
        odds_own = (own + prior) / (n_own + prior_all - own - prior)
        odds_all = (self._counts + prior) / (n_all + prior_all - self._counts - prior)
        variance = 1 / (own + prior) + 1 / (n_own + prior_all - own - prior)
        variance += 1 / (self._counts + prior) + 1 / (n_all + prior_all - self._counts - prior)
        return np.log(odds_own / odds_all) / np.sqrt(variance), own / n_own

    def _label(self, feature: FeatureEvidence) -> LabelResult:
        """Name one feature by the rarest of the phrases that stand out most."""
        if not feature.crops or not self._phrases or sum(c.activation for c in feature.crops) <= 0:
            return LabelResult(feature.feature_id, "uninterpretable", explanation="No prompts to read.")
        options = self.options
        z, coverage = self.scores(feature)
        allowed = np.where(coverage >= options.min_coverage, z, -np.inf)
        best = float(allowed.max())
        if best < options.min_z:
            top = self._phrases[int(z.argmax())]
            text = f"No phrase of the prompts stands out (nearest: '{' '.join(top)}', z = {z.max():.1f})."
            return LabelResult(feature.feature_id, "uninterpretable", explanation=text)
        near = np.flatnonzero(allowed >= best - options.margin)
        chosen = min(near, key=lambda i: (self._counts[i], -len(self._phrases[i]), self._phrases[i]))
        name = " ".join(self._phrases[chosen])
        base = self._counts[chosen] / self._total
        text = (
            f"Fires in images whose prompts say '{name}': {coverage[chosen]:.0%} of this feature's prompts"
            f" against {base:.0%} of all (z = {z[chosen]:.1f})."
        )
        confidence = coverage[chosen] * (1 - math.exp(-max(0.0, z[chosen] - options.min_z + 0.5) / 3))
        return LabelResult(feature.feature_id, "ok", name, text, round(float(min(1.0, confidence)), 4))

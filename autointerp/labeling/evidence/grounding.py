"""Which phrases hold for a crop, by its looks and by its prompt.

The prompt of several objects says more than a crop shows. So each clause of a prompt is weighted by how well it fits
the crop's looks, and by whether the crop lies in the place that the clause names.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autointerp.labeling.evidence.phrases import (
    REGION_WORDS,
    Phrase,
    clauses,
    frequent,
    sample,
    subphrases,
    without_regions,
)
from autointerp.labeling.evidence.windows import REGIONS, in_regions, places
from autointerp.labeling.protocol import CropEvidence
from autointerp.search.protocol import Embedder

_REGION_ALIASES = {"upper": "top", "lower": "bottom", "centre": "center", "middle": "center"}
_WRONG_PLACE = 3.0
"""Penalty of a clause that names another place, in units of the softmax over clauses."""
_SHARPNESS = 1.5
"""Sharpness of that softmax."""


def named_region(clause: Phrase) -> int | None:
    """Return the index in `REGIONS` of the place that a clause names; None without one."""
    words = [_REGION_ALIASES.get(w, w) for w in clause if w in REGION_WORDS]
    for size in (2, 1):
        place = " ".join(words[-size:])
        if place in REGIONS:
            return REGIONS.index(place)
    return None


class PhraseBank:
    """The candidate phrases of a layer with their vectors, and the scores of crops for every candidate.

    Attributes:
        phrases: The candidates, those of prompts first.
        vectors: Their vectors, float32 [candidates, dim].
        said_at_all: Whether any prompt says a candidate: bool [candidates].
    """

    def __init__(
        self,
        embedder: Embedder,
        vocabulary: Sequence[str],
        text_weight: float,
        contrasts: Sequence[Sequence[str]] = (),
    ) -> None:
        """Keep the parts of the bank.

        Args:
            embedder: Embeds phrases and clauses.
            vocabulary: Candidates beyond the phrases of prompts.
            text_weight: Weight of a crop's prompt saying a candidate, in standard deviations of similarity.
            contrasts: Groups of phrases of which one excludes the others.
        """
        self.embedder, self.text_weight, self.contrasts = embedder, text_weight, contrasts
        self._vocabulary = tuple(vocabulary)
        self.phrases: list[str] = []
        self.vectors = np.zeros((0, 0), np.float32)
        self.said_at_all = np.zeros(0, bool)
        self._index: dict[Phrase, int] = {}
        self._ids: dict[Phrase, np.ndarray] = {}
        self._clause_vectors: dict[Phrase, np.ndarray] = {}
        self._max_words = 3

    def collect(self, prompts: Sequence[str], min_count: int, max_words: int, limit: int) -> None:
        """Set the candidates, and embed each once.

        Args:
            prompts: The layer's prompts.
            min_count: Prompts that must say a phrase.
            max_words: Words of the longest phrase.
            limit: Phrases that are taken from the prompts at most, the most frequent ones.
        """
        self._max_words = max_words
        prompts = sample(prompts)
        said: dict[str, frozenset[Phrase]] = {}
        for prompt in prompts:
            if prompt not in said:
                said[prompt] = frozenset().union(
                    *(subphrases(without_regions(c), max_words) for c in clauses(prompt) if without_regions(c))
                )
        found = frequent((said[p] for p in prompts), min_count, limit)
        spoken = set().union(*said.values()) if said else set()
        every = list(dict.fromkeys(found + [tuple(v.split()) for v in self._vocabulary]))
        every = [p for p in every if not set(p) <= REGION_WORDS]
        self._index = {p: i for i, p in enumerate(every)}
        self.phrases = [" ".join(p) for p in every]
        self.vectors = self._contrasted(self.embedder.embed_texts(self.phrases))
        self.said_at_all = np.array([p in spoken for p in every], bool)
        self._ids.clear()

    def _contrasted(self, vectors: np.ndarray) -> np.ndarray:
        """Subtract from the vectors [n, dim] of mutually exclusive phrases the mean of their alternatives.

        The edge of an object looks more like the words for its inside than the background does. The difference of
        their vectors tells them apart.
        """
        contrasted = vectors.copy()
        for phrases in self.contrasts:
            here = [i for p in phrases if (i := self._index.get(tuple(p.split()))) is not None]
            for i in here if len(here) > 1 else ():
                contrasted[i] = vectors[i] - vectors[[j for j in here if j != i]].mean(0)
        return contrasted

    def calibrate(self, vectors: np.ndarray, crops: Sequence[CropEvidence]) -> None:
        """Set the usual similarities from the background's `vectors` [n, dim]."""
        similarity = vectors @ self.vectors.T
        self._mean, self._std = similarity.mean(0), similarity.std(0) + 1e-6
        self._embed_clauses(crops)
        said = [c for crop in crops for c in clauses(crop.prompt)]
        sample = np.stack([self._clause_vectors[c] for c in sorted(set(said))[:400]]) if said else self.vectors[:1]
        self._spread = float((vectors @ sample.T).std(0).mean()) + 1e-6

    def _embed_clauses(self, crops: Sequence[CropEvidence]) -> None:
        """Embed the clauses of the crops' prompts that have no vector yet."""
        missing = {c for crop in crops for c in clauses(crop.prompt)} - self._clause_vectors.keys()
        todo = sorted(missing)
        if todo:
            texts = [" ".join(without_regions(c) or c) for c in todo]
            self._clause_vectors.update(zip(todo, self.embedder.embed_texts(texts), strict=True))

    def _clause_ids(self, clause: Phrase) -> np.ndarray:
        """Return the indices of the candidates that a clause says."""
        if clause not in self._ids:
            bare = without_regions(clause)
            inside = subphrases(bare, self._max_words) if bare else frozenset()
            self._ids[clause] = np.array(sorted(self._index[p] for p in inside if p in self._index), np.int64)
        return self._ids[clause]

    def said(self, vectors: np.ndarray, crops: Sequence[CropEvidence]) -> np.ndarray:
        """Return how far each crop's prompt says each candidate of this crop: float32 [crops, candidates] in [0, 1]."""
        self._embed_clauses(crops)
        inside = in_regions(places(crops))
        table = np.zeros((len(crops), len(self.phrases)), np.float32)
        for i, crop in enumerate(crops):
            parts = clauses(crop.prompt)
            if not parts:
                continue
            fit = np.array([self._clause_vectors[c] @ vectors[i] for c in parts]) * (_SHARPNESS / self._spread)
            regions = [named_region(c) for c in parts]
            fit -= [_WRONG_PLACE if r is not None and not inside[i, r] else 0.0 for r in regions]
            weights = np.exp(fit - fit.max())
            weights /= weights.sum()
            for clause, weight in zip(parts, weights, strict=True):
                table[i, self._clause_ids(clause)] += weight
        return np.minimum(table, 1.0)

    def background_scores(self, vectors: np.ndarray, crops: Sequence[CropEvidence]) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores and `said` of many crops, both float32 [crops, candidates]."""
        said = self.said(vectors, crops)
        return self._combine(vectors, said), said

    def scores(self, vectors: np.ndarray, crops: Sequence[CropEvidence]) -> np.ndarray:
        """Return each crop's score for every candidate: its standardised similarity, plus the weight of its prompt."""
        return self._combine(vectors, self.said(vectors, crops))

    def _combine(self, vectors: np.ndarray, said: np.ndarray) -> np.ndarray:
        """Add similarities and what prompts say."""
        similarity = (vectors @ self.vectors.T - self._mean) / self._std
        return (similarity + self.text_weight * said).astype(np.float32)

"""How candidates for a feature's name are weighed: by what each tells about where the feature fires.

A candidate holds for a share `precision` of the feature's crops and for a share `base` of usual crops. Its gain is the
mean log-likelihood ratio of "the feature fires where this holds" against "the feature fires anywhere". So `red` wins
over `red circle` for a feature that fires on red things of all shapes, because few of its crops hold a red circle, and
loses where all of them do.

A phrase holds for a crop whose score reaches a threshold. Prompts tell how often their phrases hold in usual crops,
which sets the threshold of each. For a phrase that no prompt says, several thresholds are tried, at a penalty.

Regions of the picture are candidates on the same scale, alone and combined with a phrase. They need no embedder.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from autointerp.labeling.evidence.cells import CellReader
from autointerp.labeling.evidence.grounding import PhraseBank
from autointerp.labeling.evidence.windows import REGIONS, WindowEmbedder, in_regions, places
from autointerp.labeling.labelers.clip_options import ClipOptions
from autointerp.labeling.protocol import CropEvidence

_MIN_BASE = 1 / 300
"""Base rate below which no phrase counts as rarer."""
_TOP_PHRASES, _TOP_REGIONS = 6, 4
"""Phrases that are kept, and regions with which each is combined."""


def gain(precision: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Return the mean log-likelihood ratio a crop, in nats, of "fires where it holds" against "fires anywhere".

    The precision that is assumed of a true label is the measured one, but at least 0.8: a phrase that holds for half of
    the crops is not a label, however rare it is elsewhere. The shapes of `precision` and `base` broadcast.
    """
    assumed = np.clip(precision, 0.8, 0.97)
    base = np.clip(base, _MIN_BASE, 0.97)
    return precision * np.log(assumed / base) + (1 - precision) * np.log((1 - assumed) / (1 - base))


@dataclass(frozen=True)
class NameCandidate:
    """A possible name of a feature.

    Attributes:
        name: The phrase, the region, or both.
        gain: What the name tells, in nats a crop, less its penalties.
        precision: Share of the feature's crops for which it holds.
        base: Share of usual crops for which it holds.
        phrase: Index of the phrase; None for a region alone.
    """

    name: str
    gain: float
    precision: float
    base: float
    phrase: int | None = None


class CandidateRanking:
    """Ranks the candidates of one layer, after `calibrate` has seen its usual crops.

    For some phrases a reader of cells gives probabilities, which take the place of similarities. They tell besides how
    often the reader errs, so that the share of cells for which a phrase seems to hold can be corrected for cells that
    it misses and for cells that it takes for others.

    Attributes:
        bank: The candidate phrases.
        true_rate: Share of the cells for which a phrase holds that are found: float64 [phrases].
    """

    true_rate: np.ndarray

    def __init__(
        self,
        bank: PhraseBank,
        windows: WindowEmbedder,
        options: ClipOptions,
        familiar: Collection[str],
        readers: Sequence[CellReader],
    ) -> None:
        self.bank, self._windows, self._options = bank, windows, options
        self._familiar, self._readers = frozenset(familiar), tuple(readers)

    def calibrate(self, background: Sequence[CropEvidence]) -> None:
        """Set the thresholds, base rates and penalties of all candidates from the layer's usual crops."""
        options = self._options
        vectors = self._windows(background)
        self.bank.calibrate(vectors, background)
        scores, said = self.bank.background_scores(vectors, background)
        candidates = {phrase: i for i, phrase in enumerate(self.bank.phrases)}
        # Words of place are no candidates, even where a reader knows them.
        self._known = [[i for i, p in enumerate(reader.phrases) if p in candidates] for reader in self._readers]
        self._columns = [
            np.array([candidates[reader.phrases[i]] for i in known], np.int64)
            for reader, known in zip(self._readers, self._known, strict=True)
        ]
        self._read_into(scores, background)
        base = said.mean(0)
        n, phrases = scores.shape
        in_prompts = self.bank.said_at_all & (base > 0)
        levels = max(len(options.slack), len(options.free_bases))
        bases = np.ones((levels, phrases))
        for level in range(levels):
            slack = options.slack[min(level, len(options.slack) - 1)]
            free = options.free_bases[min(level, len(options.free_bases) - 1)]
            bases[level] = np.where(in_prompts, np.clip(base * slack, _MIN_BASE, 0.7), free)
        ordered = np.sort(scores, axis=0)
        rank = np.clip(np.ceil((1 - bases) * n).astype(int), 0, n - 1)
        self._scores, self._ordered = scores, ordered
        self._thresholds = np.take_along_axis(ordered, rank, 0)
        # Where many scores are equal, a threshold lets more through than was asked for.
        self._bases = np.stack([np.mean(scores >= threshold, axis=0) for threshold in self._thresholds])
        self.true_rate, self._false_rate = np.ones(phrases), np.zeros(phrases)
        for columns in self._columns:
            self._trust(columns)
        words = np.array([len(p.split()) for p in self.bank.phrases])
        strange = ~in_prompts & ~np.array([p in self._familiar for p in self.bank.phrases], bool)
        for columns in self._columns:
            strange[columns] = False
        self._penalty = options.word_penalty * (words - 1) + np.where(strange, options.free_penalty, 0.0)
        self._regions = in_regions(places(background))

    def scores(self, crops: Sequence[CropEvidence]) -> np.ndarray:
        """Return each crop's score for every phrase: float32 [crops, phrases]."""
        scores = self.bank.scores(self._windows(crops), crops)
        self._read_into(scores, crops)
        return scores

    def percentile(self, phrase: int, scores: np.ndarray) -> float:
        """Return the mean rank of crops' scores for a phrase among those of usual crops, from 0 to 1."""
        place = np.searchsorted(self._ordered[:, phrase], scores[:, phrase]) / len(self._ordered)
        return float(place.mean())

    def rank(self, crops: Sequence[CropEvidence], scores: np.ndarray) -> list[NameCandidate]:
        """Return the best candidates, best first, from the crops' scores of every phrase [crops, phrases]."""
        # All crops count alike. The strongest ones resemble each other most, so weight on them would make names narrow.
        weights = np.full(len(crops), 1 / len(crops))
        # Cells of one picture resemble each other, so a picture counts once in how certain a share is.
        effective = float(len({c.crop_id for c in crops}))

        def smooth(share: np.ndarray, base: np.ndarray) -> np.ndarray:
            """Pull a share towards its base rate, with the weight of one picture."""
            return (share * effective + base) / (effective + 1)

        share = self.corrected(np.stack([weights @ (scores >= threshold) for threshold in self._thresholds]))
        precision = smooth(share, self._bases)
        worth = self._gain(precision, self._bases) - self._penalty
        level = worth.argmax(0)
        top = np.argsort(-worth.max(0), kind="stable")[:_TOP_PHRASES]
        ranked = [
            NameCandidate(
                self.bank.phrases[p],
                float(worth[level[p], p]),
                float(precision[level[p], p]),
                float(self._bases[level[p], p]),
                int(p),
            )
            for p in top
        ]
        inside = in_regions(places(crops))
        region_base = (self._regions.sum(0) + 1) / (len(self._regions) + 2)
        region_share = smooth(weights @ inside, region_base)
        for r, value in enumerate(self._gain(region_share, region_base)):
            ranked.append(NameCandidate(REGIONS[r], float(value), float(region_share[r]), float(region_base[r])))
        likely = np.argsort(-region_share, kind="stable")[:_TOP_REGIONS]
        for phrase in top:
            threshold = self._thresholds[level[phrase], phrase]
            holds, usual = scores[:, phrase] >= threshold, self._scores[:, phrase] >= threshold
            for r in likely:
                base = (np.sum(usual & self._regions[:, r]) + 1) / (len(usual) + 2)
                both = smooth(weights @ (holds & inside[:, r]), base)
                cost = self._penalty[phrase] + 2 * self._options.word_penalty
                value = float(self._gain(both, base) - cost)
                name = f"{self.bank.phrases[phrase]}, {REGIONS[r]}"
                ranked.append(NameCandidate(name, value, float(both), float(base), int(phrase)))
        return sorted(ranked, key=lambda c: (-c.gain, c.name))

    def corrected(self, share: np.ndarray) -> np.ndarray:
        """Correct the shares of cells for which phrases seem to hold [..., phrases] for the readers' errors."""
        told_apart = np.maximum(self.true_rate - self._false_rate, 1e-3)
        return np.clip((share - self._false_rate) / told_apart, 0, 1)

    def _read_into(self, scores: np.ndarray, crops: Sequence[CropEvidence]) -> None:
        """Write the readers' probabilities into their columns of `scores` [crops, phrases]."""
        for reader, known, columns in zip(self._readers, self._known, self._columns, strict=True):
            scores[:, columns] = reader.read(self._windows, crops)[:, known]

    def _trust(self, columns: np.ndarray) -> None:
        """Set threshold, base rate and error rates of phrases whose scores are probabilities.

        All follow from the background's probabilities. For example, of the cells at or above one half, the mean
        probability is the share for which the phrase truly holds.
        """
        probable = self._scores[:, columns]
        holds = probable >= 0.5
        self._thresholds[:, columns] = 0.5
        self._bases[:, columns] = probable.mean(0)
        self.true_rate[columns] = (probable * holds).sum(0) / np.maximum(probable.sum(0), 1e-6)
        self._false_rate[columns] = ((1 - probable) * holds).sum(0) / np.maximum((1 - probable).sum(0), 1e-6)

    def _gain(self, precision: np.ndarray, base: np.ndarray) -> np.ndarray:
        """Return `gain`, less the penalty of a precision that is too low for a label."""
        short = np.maximum(self._options.least_precision - precision, 0.0)
        return gain(precision, base) - self._options.imprecision_penalty * short

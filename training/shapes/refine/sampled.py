"""What a sample of marked cells speaks for, by the rule of a feature's truth: precision, odds ratio, earned words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autointerp.shapes.concepts import Concept
from autointerp.shapes.earned_words import LEAST_Z
from autointerp.shapes.truth import MIN_ODDS_RATIO, odds_ratios
from training.shapes.vlm_pool import Pool
from training.shapes.vlm_questions import Shown

AGREE = 0.75
"""Share of the cells in which a concept must hold, as exact eyes ask for (docs/evaluation.md, Evidence)."""


@dataclass(frozen=True)
class SampleVerdict:
    """What the first cells speak for, after each of them (None: nothing), the last one's share, and how sure it is."""

    common: tuple[Concept | None, ...]
    share: float
    confidence: float


class SampleRule:
    """The rule over the concepts of a pool.

    A concept counts if it holds in `AGREE` of the cells, with the odds ratio of a truth over its base rate, and if each
    word of a pair is earned (`autointerp.shapes.earned_words`, with one cell a picture). Of those that count, the one
    of the largest lift is what the cells speak for.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        order = np.argsort([len(concept.words) for concept in pool.concepts], kind="stable")
        self.concepts = [pool.concepts[i] for i in order]
        self._order = order
        self._base = np.maximum(pool.base_rates[order], 1e-4)
        row_of = {concept.words: row for row, concept in enumerate(self.concepts)}
        pairs = [row for row, concept in enumerate(self.concepts) if len(concept.words) == 2]
        # Row of each pair, and of what is left of it without one of its words.
        self._pair = np.repeat(pairs, 2)
        self._rest = np.array([row_of[(word,)] for row in pairs for word in reversed(self.concepts[row].words)])
        self._overall, self._in_part = self._shares()

    def _shares(self) -> tuple[np.ndarray, np.ndarray]:
        """P(pair | rest), float64 [pairs], and P(pair | rest, part), float64 [pairs, 3]: no object, edge, inside."""
        part = self.pool.cells["part"].reshape(-1) + 1
        flat = self.pool.masks.reshape(len(self.concepts), -1)[self._order]
        counts = np.stack([np.bincount(part[mask], minlength=3) for mask in flat]).astype(np.float64)
        both, alone = counts[self._pair], counts[self._rest]
        overall = both.sum(1) / np.maximum(alone.sum(1), 1)
        # What lies in one part alone is about that part.
        one_part = (both > 0).sum(1) < 2
        return overall, np.where(one_part[:, None], overall[:, None], both / np.maximum(alone, 1))

    def holds(self, cells: np.ndarray) -> np.ndarray:
        """Return which concepts hold in cells int [n, 3] of (picture, row, col), bool [concepts, n]."""
        picture, row, col = cells.T
        return np.asarray(self.pool.masks[:, picture, row, col][self._order])

    def spoken(self, shown: Sequence[Shown]) -> SampleVerdict:
        """Return what marked cells speak for."""
        cells = np.array([(s.picture, *s.cell) for s in shown if s.cell])
        hold = self.holds(cells)
        seen = np.arange(1, len(cells) + 1)
        held = hold.cumsum(1)
        share = held / seen
        base = np.broadcast_to(self._base[:, None], share.shape)
        good = (share >= AGREE - 1e-9) & (odds_ratios(share, base) >= MIN_ODDS_RATIO)
        good[self._pair] &= self._earned(hold, cells)
        lift = np.where(good, np.round(share / base, 9), 0.0)
        best = lift.argmax(0)
        common = tuple(self.concepts[i] if lift[i, n] else None for n, i in enumerate(best))
        sure = (held[:, -1] + self._base) / (len(cells) + 1)
        if common[-1] is None:
            eligible = odds_ratios(np.ones(len(base)), self._base) >= MIN_ODDS_RATIO
            return SampleVerdict(common, 0.0, float(1 - sure[eligible].max()))
        return SampleVerdict(common, float(share[best[-1], -1]), float(sure[best[-1]]))

    def _earned(self, hold: np.ndarray, cells: np.ndarray) -> np.ndarray:
        """Return whether pairs say more than what is left without one word, after each cell, bool [pairs, n].

        A pair fails if one of its two words is not earned.
        """
        part = self.pool.cells["part"][tuple(cells.T)] + 1
        count = hold[self._rest].cumsum(1)
        expected = (self._in_part[:, part] * hold[self._rest]).cumsum(1) / np.maximum(count, 1)
        expected = np.maximum(expected, self._overall[:, None])
        share = hold[self._pair].cumsum(1) / np.maximum(count, 1)
        error = np.sqrt(expected * (1 - expected) / np.maximum(count, 1))
        earned = (count > 0) & (share - expected > LEAST_Z * error)
        both = earned.reshape(-1, 2, earned.shape[1]).all(1)
        return both.repeat(2, axis=0)

"""Whether every word of a concept is earned: it says more of the feature than the other words do.

In a world where most insides are large, a feature of dotted insides is mostly active on large things, and `large` says
nothing of it. So a word counts only if it holds more often in the active cells of the other words than in all cells of
the other words. The picture is the unit: its cells show the same few objects, so they are one observation, however
many are active.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from autointerp.shapes.concepts import Concept

LEAST_Z = 1.645
"""Standard errors by which a word must be more frequent: 5% one-sided."""


@dataclass(frozen=True)
class ActiveEntries:
    """The active cells of one feature: int arrays [entries] of flat cells and of pictures."""

    cell: np.ndarray
    image: np.ndarray


class EarnedWords:
    """The test of words, on one set of pictures.

    Args:
        concepts: The list of concepts.
        masks: Where each holds, bool [concepts, n, rows, cols].
    """

    def __init__(self, concepts: Sequence[Concept], masks: np.ndarray) -> None:
        self.images = masks.shape[1]
        self._concepts, self._masks = concepts, masks.reshape(len(masks), -1)
        self._broader: dict[int, tuple[int, ...]] = {}
        self._counts: dict[int, np.ndarray] = {}

    def broader(self, concept: int) -> tuple[int, ...]:
        """Return the concepts that say all words of a concept but one, by their rows; none for a single word."""
        if concept not in self._broader:
            words = self._concepts[concept].words
            rest = [words[:i] + words[i + 1 :] for i in range(len(words)) if len(words) > 1]
            # Of `beside red` without `red`, the list has `beside object`.
            rest += [(*words[:i], "object", *words[i + 1 :]) for i in range(len(words)) if len(words) > 1]
            rows = (self._row_of[other] for other in dict.fromkeys(rest) if other in self._row_of and other != words)
            self._broader[concept] = tuple(row for row in rows if not (self._masks[concept] & ~self._masks[row]).any())
        return self._broader[concept]

    def holds(self, concept: int, active: ActiveEntries, weights: np.ndarray) -> bool:
        """Return whether every word of a concept is earned by a feature.

        Args:
            concept: Row of the concept.
            active: Where the feature is active.
            weights: How often each picture counts, float64 [n].
        """
        return all(self._more_frequent(concept, row, active, weights) for row in self.broader(concept))

    def _more_frequent(self, concept: int, broader: int, active: ActiveEntries, weights: np.ndarray) -> bool:
        """Return whether P(concept | broader, active) is above P(concept | broader).

        It must also be above what the parts of objects make of it that the feature is active on: what is mostly active
        inside is mostly active on large things. The frequency's error is that of one draw a picture, weighed by the
        picture's active cells; to it comes the error of P(concept | broader).
        """
        entries = self._masks[broader, active.cell]
        cell, image = active.cell[entries], active.image[entries]
        weight = weights[image]
        count = weight.sum()
        if not count:
            return False
        share = float((weight * self._masks[concept, cell]).sum() / count)
        here, all_of = (np.einsum("np,n->np", self._by_image(row), weights) for row in (concept, broader))
        base = float(here.sum() / all_of.sum())
        expected = base
        if np.count_nonzero(here.sum(0)) > 1:  # what lies in one part alone is about that part
            in_part = here.sum(0) / np.maximum(all_of.sum(0), 1e-12)
            expected = min(max(base, float((weight * in_part[self._part[cell]]).sum() / count)), 1.0)
        cells = np.bincount(image, minlength=self.images)
        drawn = expected * (1 - expected) * float((weights * (cells / count) ** 2).sum())
        residuals = self._by_image(concept).sum(1) - base * self._by_image(broader).sum(1)
        world = float((weights * (residuals / all_of.sum()) ** 2).sum())
        return share - expected > LEAST_Z * float(np.sqrt(drawn + world))

    def _by_image(self, concept: int) -> np.ndarray:
        """Return in how many cells of each picture and part a concept holds, float64 [n, 3]."""
        if concept not in self._counts:
            cells = np.flatnonzero(self._masks[concept])
            key = cells // (self._masks.shape[1] // self.images) * 3 + self._part[cells]
            self._counts[concept] = np.bincount(key, minlength=3 * self.images).reshape(-1, 3).astype(np.float64)
        return self._counts[concept]

    @cached_property
    def _row_of(self) -> dict[tuple[str, ...], int]:
        return {concept.words: row for row, concept in enumerate(self._concepts)}

    @cached_property
    def _part(self) -> np.ndarray:
        """The part of an object that each cell is: 1 edge, 2 inside, 0 none or not known."""
        part = np.zeros(self._masks.shape[1], np.int64)
        for number, word in enumerate(("edge", "inside"), 1):
            if (word,) in self._row_of:
                part[self._masks[self._row_of[(word,)]]] = number
        return part

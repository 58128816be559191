"""The truth of a feature of a shapes model: the narrowest concept that holds where the feature fires.

A feature's truth is chosen by precision and lift, and not by F1: a dictionary splits concepts, so a feature that fires
only on the left edges of red objects still has the truth `red`. The module needs NumPy alone: an evaluation needs the
oracle's readings, but not the oracle.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autointerp.shapes.concepts import Concept
from autointerp.shapes.earned_words import ActiveEntries, EarnedWords
from autointerp.shapes.scenes import ATTRIBUTES

MIN_PRECISION = 0.8
MIN_ODDS_RATIO = 11.0
"""The odds ratio of a lift of 3 at a precision of 0.8."""
PRECISION_CAP = 0.95
"""The most that a precision counts in the odds ratio, so that the base rate matters for every feature."""
MIN_IMAGES = 10


@dataclass(frozen=True)
class ActiveCells:
    """The cells in which features are active.

    Int arrays [entries], with each (feature, image, row, col) at most once.
    """

    num_features: int
    feature: np.ndarray
    image: np.ndarray
    row: np.ndarray
    col: np.ndarray


@dataclass(frozen=True)
class FeatureTruth:
    """The concept that is true of a feature, with the figures that decided it."""

    concept: Concept
    precision: float
    base_rate: float
    odds_ratio: float
    images: int

    @property
    def lift(self) -> float:
        """Precision over base rate."""
        return self.precision / self.base_rate


def odds_ratios(precision: np.ndarray, base_rate: np.ndarray) -> np.ndarray:
    """Return the odds of precisions, each at most 0.95, over the odds of base rates; 0 for concepts that never hold."""
    counted = np.minimum(precision, PRECISION_CAP)
    base = np.clip(base_rate, 1e-12, 1 - 1e-12)
    return np.where(base_rate > 0, counted / (1 - counted) * (1 - base) / base, 0.0)


class TruthSearch:
    """The search for features' truths on one set of pictures, any of which may count more or less often than once.

    Cells with the same concepts are one state. There are a few thousand states, whatever the number of pictures. A
    feature is a histogram over the states, and precisions are a matrix product.

    Args:
        active: Where features are active.
        concepts: The list of concepts.
        masks: Where each holds, bool [concepts, n, rows, cols].
    """

    def __init__(self, active: ActiveCells, concepts: Sequence[Concept], masks: np.ndarray) -> None:
        self.concepts, self.num_features = concepts, active.num_features
        flat = masks.reshape(len(masks), -1)
        packed = np.ascontiguousarray(np.packbits(flat, axis=0).T)
        states = packed.view(np.dtype((np.void, packed.shape[1]))).reshape(-1)
        _, first, state = np.unique(states, return_index=True, return_inverse=True)
        self._of_state = flat[:, first].T.astype(np.float32)
        _, self.images, height, width = masks.shape
        self._cell_state = state.reshape(self.images, -1)
        cell = (active.image.astype(np.int64) * height + active.row) * width + active.col
        order = np.argsort(active.feature, kind="stable")
        self._feature, self._image = active.feature[order].astype(np.int64), active.image[order].astype(np.int64)
        self._cell = cell[order]
        self._starts = np.searchsorted(self._feature, np.arange(self.num_features + 1))
        self._earned = EarnedWords(concepts, masks)
        shown = np.unique(self._feature * max(self.images, 1) + self._image)
        self._shown_feature, self._shown_image = np.divmod(shown, max(self.images, 1))

    def precisions(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Return P(concept in the cell | feature active in the cell), float64 [features, concepts].

        It is nan for silent features.

        Args:
            weights: How often each picture counts, [n]; once each if None.
        """
        count = len(self._of_state)
        entry_state = self._cell_state.reshape(-1)[self._cell]
        entry_weight = None if weights is None else weights[self._image]
        precisions = np.empty((self.num_features, self._of_state.shape[1]))
        chunk = max(1, 2**24 // max(count, 1))  # counts of 128 MB, however many states there are
        for start in range(0, self.num_features, chunk):
            stop = min(start + chunk, self.num_features)
            low, high = self._starts[[start, stop]]
            keys = (self._feature[low:high] - start) * count + entry_state[low:high]
            weight = None if entry_weight is None else entry_weight[low:high]
            counts = np.bincount(keys, weight, minlength=(stop - start) * count).reshape(stop - start, -1)
            with np.errstate(invalid="ignore"):
                # Sums of counts below 2**24 are exact in float32.
                held = counts.astype(np.float32) @ self._of_state
                precisions[start:stop] = held.astype(np.float64) / counts.sum(1, keepdims=True)
        return precisions

    def base_rates(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Return the share of all cells in which each concept holds, float64 [concepts]."""
        weight = None if weights is None else np.repeat(weights, self._cell_state.shape[1])
        counts = np.bincount(self._cell_state.reshape(-1), weight, minlength=len(self._of_state))
        return np.asarray(counts @ self._of_state.astype(np.float64) / max(counts.sum(), 1))

    def images_active(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Count the images that count in which each feature is active, int64 [features]."""
        counted = slice(None) if weights is None else weights[self._shown_image] > 0
        return np.bincount(self._shown_feature[counted], minlength=self.num_features)

    def truths(
        self,
        weights: np.ndarray | None = None,
        *,
        min_precision: float = MIN_PRECISION,
        min_odds_ratio: float = MIN_ODDS_RATIO,
        min_images: int = MIN_IMAGES,
    ) -> list[FeatureTruth | None]:
        """Return each feature's truth; None for a feature of no concept, such as a silent one.

        Candidates are concepts of sufficient precision and odds ratio over the base rate, which is the share of all
        cells in which the concept holds, with no word that is not earned (`EarnedWords`). The candidate of largest lift
        wins, with its precision uncapped. Of equal lifts, the concept of fewer words wins, then the earlier one.
        """
        counted = np.ones(self.images) if weights is None else weights.astype(np.float64)
        precision, base_rate = self.precisions(weights), self.base_rates(weights)
        images = self.images_active(weights)
        with np.errstate(invalid="ignore"):
            ratio = odds_ratios(precision, base_rate)
            good = (precision >= min_precision) & (ratio >= min_odds_ratio) & (images[:, None] >= min_images)
        # Lifts are rounded, so that equal ones are equal whatever the order of their sums.
        lift = np.where(good, np.round(precision / np.maximum(base_rate, 1e-12), 9), -1.0)
        simple_first = np.array(sorted(range(len(self.concepts)), key=lambda i: (len(self.concepts[i].words), i)))
        found: list[FeatureTruth | None] = []
        for feature in range(self.num_features):
            row = self._best(feature, simple_first, lift[feature], counted)
            if row is None:
                found.append(None)
                continue
            held, base, odds = float(precision[feature, row]), float(base_rate[row]), float(ratio[feature, row])
            found.append(FeatureTruth(self.concepts[row], held, base, odds, int(images[feature])))
        return found

    def _best(self, feature: int, simple_first: np.ndarray, lift: np.ndarray, weights: np.ndarray) -> int | None:
        """Return the row of the candidate of largest lift whose words are all earned."""
        candidates = simple_first[lift[simple_first] > 0]
        entries = slice(*self._starts[feature : feature + 2])
        active = ActiveEntries(self._cell[entries], self._image[entries])
        for row in candidates[np.argsort(-lift[candidates], kind="stable")]:
            if self._earned.holds(int(row), active, weights):
                return int(row)
        return None


def feature_precisions(active: ActiveCells, masks: np.ndarray) -> np.ndarray:
    """Return P(concept in the cell | feature active in the cell); see `TruthSearch.precisions`."""
    return TruthSearch(active, [], masks).precisions()


def feature_truths(
    active: ActiveCells,
    concepts: Sequence[Concept],
    masks: np.ndarray,
    *,
    min_precision: float = MIN_PRECISION,
    min_odds_ratio: float = MIN_ODDS_RATIO,
    min_images: int = MIN_IMAGES,
) -> list[FeatureTruth | None]:
    """Return each feature's truth; see `TruthSearch.truths`."""
    return TruthSearch(active, concepts, masks).truths(
        min_precision=min_precision, min_odds_ratio=min_odds_ratio, min_images=min_images
    )


SYNONYMS: dict[str, tuple[str, ...]] = {
    "red": ("reddish", "crimson", "scarlet"),
    "yellow": ("yellowish",),
    "green": ("greenish",),
    "cyan": ("turquoise", "aqua"),
    "blue": ("bluish",),
    "purple": ("violet",),
    "pink": ("pinkish",),
    "circle": ("circles", "circular", "disc", "discs", "disk", "disks"),
    "square": ("squares",),
    "triangle": ("triangles", "triangular"),
    "star": ("stars",),
    "cross": ("crosses", "plus"),
    "ring": ("rings", "annulus", "donut", "doughnut"),
    "solid": ("plain",),
    "striped": ("stripe", "stripes", "stripy", "stripey"),
    "dotted": ("dot", "dots", "polka", "spotted"),
    "small": ("little", "tiny"),
    "large": ("big",),
    "night": ("nighttime",),
    "sand": ("sandy",),
    "checkered": ("chequered", "checkerboard", "checked"),
    "edge": ("edges", "border", "borders", "outline", "outlines", "rim", "rims", "contour", "contours", "boundary"),
    "inside": ("insides", "interior", "interiors", "inner", "core"),
    "center": ("centre", "middle", "central"),
    "top": ("upper",),
    "bottom": ("lower",),
    "object": ("objects", "shape", "shapes"),
}
"""Synonyms of the words of the world, as labels may say them."""


def _says(tokens: set[str], word: str) -> bool:
    return all(part in tokens or not tokens.isdisjoint(SYNONYMS.get(part, ())) for part in word.split())


def names_truth(label_name: str, truth: Concept) -> bool:
    """Return whether a label's name says a concept: all of its words, or their synonyms, as whole words.

    The name may have other words, but no second colour, shape, texture or size where the concept has one, so that a
    label is not right by listing many.
    """
    tokens = set(re.findall(r"[a-z]+", label_name.lower()))
    for word in truth.words:
        if not _says(tokens, word):
            return False
        for kind in ("color", "shape", "texture", "size"):
            if word in ATTRIBUTES[kind] and any(_says(tokens, w) for w in ATTRIBUTES[kind] if w != word):
                return False
    return True

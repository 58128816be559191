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
from autointerp.shapes.scenes import ATTRIBUTES

MIN_PRECISION = 0.8
MIN_ODDS_RATIO = 11.0
"""The odds ratio of a lift of 3 at a precision of 0.8."""
PRECISION_CAP = 0.95
"""The most that a precision counts in the odds ratio, so that the base rate matters for every feature."""
MIN_IMAGES = 10
ACTIVE_SHARE = 0.25
"""A feature is active in a cell where its activation is above this share of its maximum."""


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


def feature_precisions(active: ActiveCells, masks: np.ndarray) -> np.ndarray:
    """Return P(concept in the cell | feature active in the cell), float64 [features, concepts]; nan for silent
    features.

    Cells with the same concepts are one state. There are a few thousand states, whatever the number of pictures. A
    feature is a histogram over the states, and the precisions are a matrix product.
    """
    flat = masks.reshape(len(masks), -1)
    packed = np.ascontiguousarray(np.packbits(flat, axis=0).T)
    states = packed.view(np.dtype((np.void, packed.shape[1]))).reshape(-1)
    _, first, state = np.unique(states, return_index=True, return_inverse=True)
    of_state = flat[:, first].T.astype(np.float32)
    _, _, height, width = masks.shape
    cell = (active.image.astype(np.int64) * height + active.row) * width + active.col
    entry_state = state.reshape(-1)[cell]
    precisions = np.empty((active.num_features, len(masks)))
    order = np.argsort(active.feature, kind="stable")
    feature, entry_state = active.feature[order].astype(np.int64), entry_state[order]
    chunk = max(1, 2**24 // len(of_state))  # counts of 64 MB, however many states there are
    for start in range(0, active.num_features, chunk):
        stop = min(start + chunk, active.num_features)
        low, high = np.searchsorted(feature, [start, stop])
        keys = (feature[low:high] - start) * len(of_state) + entry_state[low:high]
        counts = np.bincount(keys, minlength=(stop - start) * len(of_state)).reshape(stop - start, -1)
        with np.errstate(invalid="ignore"):
            # Sums of counts below 2**24 are exact in float32.
            held = counts.astype(np.float32) @ of_state
            precisions[start:stop] = held.astype(np.float64) / counts.sum(1, keepdims=True)
    return precisions


def images_active(active: ActiveCells) -> np.ndarray:
    """Count the images in which each feature is active, int64 [features]."""
    seen = np.zeros((active.num_features, int(active.image.max(initial=-1)) + 1), bool)
    seen[active.feature, active.image] = True
    return seen.sum(1)


def feature_truths(
    active: ActiveCells,
    concepts: Sequence[Concept],
    masks: np.ndarray,
    *,
    min_precision: float = MIN_PRECISION,
    min_odds_ratio: float = MIN_ODDS_RATIO,
    min_images: int = MIN_IMAGES,
) -> list[FeatureTruth | None]:
    """Return each feature's truth; None for a feature of no concept, such as a silent one.

    Candidates are concepts of sufficient precision and odds ratio over the base rate, which is the share of all cells
    in which the concept holds. The candidate of largest lift wins, with its precision uncapped. Of equal lifts, the
    concept of fewer words wins, then the earlier one.
    """
    precision = feature_precisions(active, masks)
    base_rate = masks.reshape(len(masks), -1).mean(1)
    ratio = odds_ratios(precision, base_rate)
    images = images_active(active)
    good = (precision >= min_precision) & (ratio >= min_odds_ratio) & (images[:, None] >= min_images)
    # Lifts are rounded, so that equal ones are equal whatever the order of their sums.
    lift = np.where(good, np.round(precision / np.maximum(base_rate, 1e-12), 9), -1.0)
    simple_first = np.array(sorted(range(len(concepts)), key=lambda i: (len(concepts[i].words), i)))
    best = simple_first[lift[:, simple_first].argmax(1)]
    return [
        FeatureTruth(concepts[c], float(precision[f, c]), float(base_rate[c]), float(ratio[f, c]), int(images[f]))
        if good[f, c]
        else None
        for f, c in enumerate(best)
    ]


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

"""What a feature of a shapes model is truly about: the narrowest concept that holds where it fires.

The concepts of a cell are single words (colours, shapes, textures, sizes, backgrounds), positions of the cell in the
picture, pairs of these, parts of objects, and plain `object`. A feature's truth is chosen by precision and lift, not
by F1: a dictionary splits concepts, and a feature that fires on the left edges of red things alone is still truly
about red. NumPy alone, so that an evaluation needs the oracle's readings but not the oracle.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from autointerp.shapes.scenes import ATTRIBUTES, GRID, POSITIONS

Kind = Literal["color", "shape", "texture", "size", "position", "pair", "background", "part", "object"]

MIN_PRECISION = 0.8
MIN_ODDS_RATIO = 11.0
"""A lift of 3 at a precision of 0.8."""
PRECISION_CAP = 0.95
"""A precision counts as this at most in the odds ratio: no feature is so pure that a base rate ceases to matter."""
MIN_IMAGES = 10
LEAST_CELLS = 3
"""A picture shows a concept from this many cells on."""

_HALF, _QUARTER = GRID // 2, GRID // 4
REGIONS: dict[str, tuple[slice, slice]] = {
    "top left": (slice(0, _HALF), slice(0, _HALF)),
    "top right": (slice(0, _HALF), slice(_HALF, GRID)),
    "bottom left": (slice(_HALF, GRID), slice(0, _HALF)),
    "bottom right": (slice(_HALF, GRID), slice(_HALF, GRID)),
    "center": (slice(_QUARTER, GRID - _QUARTER), slice(_QUARTER, GRID - _QUARTER)),
}
"""Position -> rows and columns of the grid: the quadrants, and a centre as large as they are, which is what an
object at the centre covers. Every position has the base rate 1/4."""


@dataclass(frozen=True)
class Concept:
    """A thing that can be true of a cell.

    `words` are what a label must say to name it: one word, two for a pair (a position counts as one entry, e.g.
    `("red", "top left")`). `specific`: neither background nor plain object.
    """

    name: str
    words: tuple[str, ...]
    kind: Kind
    specific: bool


def all_concepts() -> list[Concept]:
    """Every concept, in the order of the rows of `concept_masks`; a pair's words stand as a caption would say them."""
    single: dict[Kind, tuple[str, ...]] = {
        "size": ATTRIBUTES["size"],
        "color": ATTRIBUTES["color"],
        "texture": ATTRIBUTES["texture"],
        "shape": ATTRIBUTES["shape"],
        "position": tuple(POSITIONS),
    }
    concepts = [Concept(word, (word,), kind, True) for kind, words in single.items() for word in words]
    for one, other in combinations(single.values(), 2):
        concepts += [Concept(f"{a} {b}", (a, b), "pair", True) for a in one for b in other]
    concepts += [Concept(word, (word,), "part", True) for word in ATTRIBUTES["part"]]
    concepts += [Concept(word, (word,), "background", False) for word in ATTRIBUTES["background"]]
    return [*concepts, Concept("object", ("object",), "object", False)]


def concept_masks(cells: dict[str, np.ndarray]) -> tuple[list[Concept], np.ndarray]:
    """Where each concept holds.

    Args:
        cells: attribute -> int [n, 12, 12], indices into `ATTRIBUTES`, -1 where none; as `Oracle.read` gives.

    Returns:
        The concepts, and bool [concepts, n, 12, 12] (36 MB for 1,000 pictures). A position holds in every cell of
        its region, object or not; a pair with a position holds in the region's cells that carry the other word.
    """
    shape = cells["part"].shape
    concepts = all_concepts()
    masks = np.zeros((len(concepts), *shape), bool)
    row_of = {concept.words: i for i, concept in enumerate(concepts)}
    for concept, mask in zip(concepts, masks, strict=True):
        if concept.kind == "pair":
            one, other = (masks[row_of[(word,)]] for word in concept.words)
            np.logical_and(one, other, out=mask)
        elif concept.kind == "position":
            mask[(slice(None), *REGIONS[concept.name])] = True
        elif concept.kind == "object":
            np.greater_equal(cells["part"], 0, out=mask)
        else:
            np.equal(cells[concept.kind], ATTRIBUTES[concept.kind].index(concept.name), out=mask)
    return concepts, masks


@dataclass(frozen=True)
class ActiveCells:
    """Where features are active: four int arrays [entries], each (feature, image, row, col) at most once."""

    num_features: int
    feature: np.ndarray
    image: np.ndarray
    row: np.ndarray
    col: np.ndarray


@dataclass(frozen=True)
class FeatureTruth:
    """The concept that a feature is about, with the figures that made it so."""

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
    """Odds of precisions, each counted as 0.95 at most, over the odds of base rates; 0 for what never holds."""
    counted = np.minimum(precision, PRECISION_CAP)
    base = np.clip(base_rate, 1e-12, 1 - 1e-12)
    return np.where(base_rate > 0, counted / (1 - counted) * (1 - base) / base, 0.0)


def feature_precisions(active: ActiveCells, masks: np.ndarray) -> np.ndarray:
    """P(concept in the cell | feature active in the cell), float64 [features, concepts]; nan for a silent feature.

    Cells with the same concepts are one state; a feature is a histogram over the states (a few thousand, however
    many pictures there are), and the rest is a matrix product.
    """
    flat = masks.reshape(len(masks), -1)
    packed = np.ascontiguousarray(np.packbits(flat, axis=0).T)
    states = packed.view(np.dtype((np.void, packed.shape[1]))).reshape(-1)
    _, first, state = np.unique(states, return_index=True, return_inverse=True)
    of_state = flat[:, first].T.astype(np.float64)
    _, _, height, width = masks.shape
    cell = (active.image.astype(np.int64) * height + active.row) * width + active.col
    entry_state = state.reshape(-1)[cell]
    precisions = np.empty((active.num_features, len(masks)))
    order = np.argsort(active.feature, kind="stable")
    feature, entry_state = active.feature[order].astype(np.int64), entry_state[order]
    for start in range(0, active.num_features, 512):
        stop = min(start + 512, active.num_features)
        low, high = np.searchsorted(feature, [start, stop])
        keys = (feature[low:high] - start) * len(of_state) + entry_state[low:high]
        counts = np.bincount(keys, minlength=(stop - start) * len(of_state)).reshape(stop - start, -1)
        with np.errstate(invalid="ignore"):
            precisions[start:stop] = (counts @ of_state) / counts.sum(1, keepdims=True)
    return precisions


def images_active(active: ActiveCells) -> np.ndarray:
    """In how many images each feature is active, int64 [features]."""
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
    """Each feature's truth, None for one that is about no concept (silent ones too).

    Among concepts of sufficient precision and odds ratio over the base rate (the share of all cells where the
    concept holds), the one with the largest lift, precision uncapped. Of equal lifts the concept of fewer words
    wins, then the earlier one.
    """
    precision = feature_precisions(active, masks)
    base_rate = masks.reshape(len(masks), -1).mean(1)
    ratio = odds_ratios(precision, base_rate)
    images = images_active(active)
    good = (precision >= min_precision) & (ratio >= min_odds_ratio) & (images[:, None] >= min_images)
    # Rounded, so that equal lifts are equal whatever the order of the sums that made them.
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
"""Other words for a word of the world, in a label."""


def _says(tokens: set[str], word: str) -> bool:
    return all(part in tokens or not tokens.isdisjoint(SYNONYMS.get(part, ())) for part in word.split())


def names_truth(label_name: str, truth: Concept) -> bool:
    """Whether a label's name says a concept: all of its words, or their synonyms, as whole words.

    Other words may stand beside them, but no second colour, shape, texture or size where the concept has one: a
    label that lists many is not right by listing.
    """
    tokens = set(re.findall(r"[a-z]+", label_name.lower()))
    for word in truth.words:
        if not _says(tokens, word):
            return False
        for kind in ("color", "shape", "texture", "size"):
            if word in ATTRIBUTES[kind] and any(_says(tokens, w) for w in ATTRIBUTES[kind] if w != word):
                return False
    return True


def name_masks(label_name: str, cells: dict[str, np.ndarray]) -> np.ndarray:
    """Where all holds that a label's name says of the world, bool [n, 12, 12]; nowhere if it says nothing of it.

    Of several values of one attribute any may hold. Words that the world does not know are passed over.

    Args:
        label_name: As a labeler gives it.
        cells: As for `concept_masks`.
    """
    tokens = set(re.findall(r"[a-z]+", label_name.lower()))
    on = cells["part"] >= 0
    found = []
    for kind, values in ATTRIBUTES.items():
        said = [i for i, value in enumerate(values) if _says(tokens, value)]
        if said:
            found.append(np.isin(cells[kind], said))
    if _says(tokens, "object"):
        found.append(on)
    if "background" in tokens:
        found.append(~on)
    for side in dict.fromkeys(word for place in REGIONS for word in place.split()):
        if _says(tokens, side):
            inside = np.zeros(on.shape, bool)
            for place, region in REGIONS.items():
                if side in place.split():
                    inside[(slice(None), *region)] = True
            found.append(inside)
    return np.logical_and.reduce(found) if found else np.zeros(on.shape, bool)

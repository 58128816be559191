"""The verdict on a dictionary: its features against the truth in the cells of held-out images.

A feature is active above a share of its maximum, which is fixed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from autointerp.shapes.concepts import Concept, all_concepts, concept_masks
from autointerp.shapes.halves import SPLITS, HalfTruths
from autointerp.shapes.held_out import HeldOutCells, packed, unpacked
from autointerp.shapes.label_verdict import LabelRuler
from autointerp.shapes.truth import ActiveCells, FeatureTruth, TruthSearch, feature_precisions, names_truth


@dataclass(frozen=True)
class Firing:
    """The cells in which a dictionary's features fire: arrays [entries], with each (feature, cell) at most once."""

    num_features: int
    feature: np.ndarray
    cell: np.ndarray
    """Number of the cell over all images: image * rows * cols + row * cols + col."""
    act: np.ndarray
    maximum: np.ndarray
    """Largest activation of each feature, float32 [num_features]."""

    def active(self, share: float, keep: np.ndarray, grid: tuple[int, int]) -> ActiveCells:
        """Return the cells above `share` of the feature's maximum, in the images of the mask `keep` [images]."""
        tokens = grid[0] * grid[1]
        image = self.cell // tokens
        on = (self.act > share * self.maximum[self.feature]) & keep[image]
        place = np.cumsum(keep) - 1
        cell = self.cell[on] % tokens
        return ActiveCells(self.num_features, self.feature[on], place[image[on]], cell // grid[1], cell % grid[1])


@dataclass(frozen=True)
class Evaluated:
    """A dictionary's features against the truth: one truth (or none) a feature, and where they were active.

    Attributes:
        truths: The truth of each feature.
        concepts: The list that they were chosen from.
        seen: The held-out pictures.
        halves: The truths on half-samples of the pictures.
    """

    truths: list[FeatureTruth | None]
    concepts: list[Concept]
    seen: HeldOutCells
    halves: HalfTruths

    @cached_property
    def precisions(self) -> np.ndarray:
        """P(concept | active), float64 [features, concepts]; nan for a silent feature."""
        return feature_precisions(self.seen.active, concept_masks(dict(self.seen.cells))[1])

    @cached_property
    def ruler(self) -> LabelRuler:
        """What holds labels against the truths."""
        return LabelRuler.of(self.seen.cells, self.seen.active, self.truths, [one.name for one in self.concepts])

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values: the figures of each feature's truth, and the pictures."""
        truths = [
            None if t is None else [self.concepts.index(t.concept), t.precision, t.base_rate, t.odds_ratio, t.images]
            for t in self.truths
        ]
        return {
            "concepts": [concept.name for concept in self.concepts],
            "truths": truths,
            "seen": self.seen.as_dict(),
            "halves": {"rows": packed(self.halves.rows.astype("<i2")), "seed": self.halves.seed},
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Evaluated:
        """Make the verdict that `as_dict` was called on."""
        by_name = {concept.name: concept for concept in all_concepts()}
        concepts = [by_name[name] for name in stored["concepts"]]
        truths = [None if t is None else FeatureTruth(concepts[t[0]], *t[1:]) for t in stored["truths"]]
        rows = np.frombuffer(unpacked(stored["halves"]["rows"]), "<i2").reshape(2 * SPLITS, len(truths))
        halves = HalfTruths(rows, stored["halves"]["seed"])
        return cls(truths, concepts, HeldOutCells.from_dict(stored["seen"]), halves)

    @property
    def grounded(self) -> float:
        """Share of all features with any truth."""
        return sum(t is not None for t in self.truths) / max(len(self.truths), 1)

    @property
    def specific(self) -> float:
        """Share of all features whose truth is neither a background nor plain object."""
        return sum(t is not None and t.concept.specific for t in self.truths) / max(len(self.truths), 1)


class Truth:
    """The held-out images with what is true in their cells.

    Args:
        cells: As for `concept_masks`.
        grid: (rows, cols) of the layer.
        seed: Seed of the half-samples.
    """

    def __init__(self, cells: dict[str, np.ndarray], grid: tuple[int, int], seed: int = 0) -> None:
        self.seed = seed
        self.grid, self.cells = grid, {name: values.astype(np.int8) for name, values in cells.items()}
        self.concepts, self._masks = concept_masks(cells)

    def of(self, firing: Firing, share: float) -> Evaluated:
        """Return every feature's truth, with a feature active above a share of its maximum."""
        active = firing.active(share, np.ones(len(self.cells["part"]), bool), self.grid)
        search = TruthSearch(active, self.concepts, self._masks)
        halves = HalfTruths.of(search, self.seed)
        return Evaluated(search.truths(), self.concepts, HeldOutCells(self.cells, active), halves)


class Collected:
    """Firing of one dictionary, gathered batch by batch; of several steps a cell keeps its maximum."""

    def __init__(self, num_features: int) -> None:
        self.num_features = num_features
        self.parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, code: Any, first_cell: int) -> None:
        """Add the `SparseCode` of consecutive cells, of which the first has the number `first_cell`."""
        from autointerp.dictionaries.reading import read_together

        acts, indices = (t.numpy() for t in read_together(code.latent_acts, code.latent_indices))
        token, slot = np.nonzero(acts > 0)
        cell = (token + first_cell).astype(np.int64)
        self.parts.append((indices[token, slot].astype(np.int64), cell, acts[token, slot].astype(np.float32)))

    def firing(self) -> Firing:
        """Return where the features fire in all cells that were added."""
        feature, cell, act = (np.concatenate([part[i] for part in self.parts]) for i in range(3))
        order = np.lexsort((-act, cell, feature))
        feature, cell, act = feature[order], cell[order], act[order]
        first = np.r_[True, (feature[1:] != feature[:-1]) | (cell[1:] != cell[:-1])] if len(feature) else []
        feature, cell, act = feature[first], cell[first], act[first]
        maximum = np.zeros(self.num_features, np.float32)
        np.maximum.at(maximum, feature, act)
        return Firing(self.num_features, feature, cell, act, maximum)


def accuracy(truths: list[FeatureTruth | None], names: dict[int, str]) -> dict[str, float | None]:
    """Return the share of grounded (and of specific) features whose label names the truth; a missing label is wrong."""
    grounded = [(i, t.concept) for i, t in enumerate(truths) if t is not None]
    right = {i: names_truth(names.get(i, ""), concept) for i, concept in grounded}
    specific = [i for i, concept in grounded if concept.specific]
    return {
        "label_accuracy": sum(right.values()) / len(right) if right else None,
        "label_accuracy_specific": sum(right[i] for i in specific) / len(specific) if specific else None,
    }


SHUFFLES = 20
"""Permutations of the labels that the control is a mean over; a single one of a few hundred labels varies much."""


def shuffled_accuracy(truths: list[FeatureTruth | None], names: dict[int, str], seed: int) -> dict[str, float | None]:
    """Return the mean `accuracy` of the same labels on other features, over several permutations."""
    indices = sorted(names)
    draw = np.random.default_rng((seed, 41))
    found = []
    for _ in range(SHUFFLES):
        order = draw.permutation(len(indices))
        mixed = {index: names[indices[other]] for index, other in zip(indices, order, strict=True)}
        found.append(accuracy(truths, mixed))
    return {
        key: None if value is None else float(np.mean([one[key] for one in found])) for key, value in found[0].items()
    }


def correlation(own: Evaluated, named: dict[int, tuple[str, float | None]]) -> float | None:
    """Correlate the scores of labels with the precisions of the concepts that they say (0 for none): Pearson's r."""
    pairs = []
    said: dict[str, list[int]] = {}
    for index, (name, score) in named.items():
        if score is None or np.isnan(own.precisions[index]).any():
            continue
        if name not in said:
            said[name] = [c for c, concept in enumerate(own.concepts) if names_truth(name, concept)]
        # Of the concepts that a label says, the narrowest counts: the one of lowest precision.
        claims = [own.precisions[index, c] for c in said[name]]
        pairs.append((score, min(claims) if claims else 0.0))
    if len(pairs) < 3:
        return None
    scores, precisions = np.array(pairs).T
    if scores.std() == 0 or precisions.std() == 0:
        return None
    return float(np.corrcoef(scores, precisions)[0, 1])


def truth_auroc(own: Evaluated, scores: dict[int, float | None]) -> float | None:
    """Return how well a score tells features with a truth from those without: the share of pairs in the right order."""
    known = [(s, own.truths[i] is not None) for i, s in scores.items() if s is not None]
    values, has = np.array([s for s, _ in known]), np.array([h for _, h in known], bool)
    if has.all() or not has.any():
        return None
    difference = values[has][:, None] - values[~has][None, :]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


def kinds(truths: list[FeatureTruth | None]) -> dict[str, int]:
    """Count the features by the kind of their truth."""
    kinds: dict[str, int] = {}
    for truth in truths:
        if truth is not None:
            kinds[truth.concept.kind] = kinds.get(truth.concept.kind, 0) + 1
    return dict(sorted(kinds.items(), key=lambda item: -item[1]))

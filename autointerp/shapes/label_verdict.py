"""The verdict on a label: what its name picks out, held against the truth of its feature.

A name is exact if it holds in the very cells in which the truth holds. Otherwise it is too broad, too narrow,
overlapping or wrong. Its gain share says how much of what the truth tells of the feature the name tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from autointerp.shapes.concepts import all_concepts
from autointerp.shapes.extensions import Atom, Atoms, Extension
from autointerp.shapes.label_controls import Rule, lenient_rule
from autointerp.shapes.truth import ActiveCells, FeatureTruth

LabelVerdict = Literal["exact", "too broad", "too narrow", "overlapping", "wrong"]
VERDICTS: tuple[LabelVerdict, ...] = ("exact", "too broad", "too narrow", "overlapping", "wrong")
TOLERANCE = 0.01
"""Part of a set of cells that may lie outside another one that it counts as a part of: the oracle misreads some."""


def relation(label: np.ndarray, truth: np.ndarray, sizes: np.ndarray | None = None) -> LabelVerdict:
    """Compare the cells where a label holds with those where the truth does.

    Args:
        label: Bool, where the label holds.
        truth: Bool of the same shape.
        sizes: How many cells each entry stands for, of the same shape; 1 each if None.
    """

    def count(mask: np.ndarray) -> float:
        return float(np.count_nonzero(mask) if sizes is None else sizes[mask].sum())

    both, of_label, of_truth = count(label & truth), count(label), count(truth)
    most = TOLERANCE * of_truth
    if of_label - both <= most and of_truth - both <= most:
        return "exact" if of_truth else "wrong"
    if both <= TOLERANCE * min(of_label, of_truth):
        return "wrong"
    if of_truth - both <= most:
        return "too broad"
    return "too narrow" if of_label - both <= TOLERANCE * of_label else "overlapping"


@dataclass(frozen=True)
class Activity:
    """Where features are active: for each feature, entries with a position and how many active cells lie there.

    Attributes:
        starts: int64 [features + 1], where the entries of each feature begin.
        positions: int64 [entries], flat positions in the atoms.
        counts: float64 [entries].
    """

    starts: np.ndarray
    positions: np.ndarray
    counts: np.ndarray

    @classmethod
    def of_cells(cls, active: ActiveCells, shape: tuple[int, ...]) -> Activity:
        """Make it of active cells in pictures of a shape [n, rows, cols]."""
        order = np.argsort(active.feature, kind="stable")
        at = np.ravel_multi_index((active.image, active.row, active.col), shape)[order]
        starts = np.searchsorted(active.feature[order], np.arange(active.num_features + 1))
        return cls(starts, at, np.ones(len(at)))

    def mean(self, weight: np.ndarray) -> np.ndarray:
        """Return the mean of a weight over each feature's active cells, float64 [features]; nan for silent ones."""
        sums, sizes = (self._sums(values) for values in (weight.reshape(-1)[self.positions] * self.counts, self.counts))
        with np.errstate(invalid="ignore"):
            return sums / sizes

    def _sums(self, values: np.ndarray) -> np.ndarray:
        return np.diff(np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])[self.starts])


class LabelRuler:
    """Names held against the truths of features, on one set of pictures.

    Args:
        atoms: The world's words, over the pictures' cells or over states of them.
        activity: Where the features are active, in the same cells or states.
        truths: The truth of each feature, or None.
        sizes: How many cells each state stands for, of the shape of the atoms; 1 each if None.
        concepts: What else a name may say as one concept, beside the world's list, such as `red or blue`.
    """

    def __init__(
        self,
        atoms: Atoms,
        activity: Activity,
        truths: Sequence[FeatureTruth | None],
        sizes: np.ndarray | None = None,
        concepts: Sequence[str] = (),
    ) -> None:
        self.atoms, self.activity, self.truths, self.sizes = atoms, activity, truths, sizes
        self._more = tuple(concepts)
        self._extensions: dict[str, Extension] = {}
        self._relations: dict[tuple[str, str], LabelVerdict] = {}
        self._concepts: dict[str, np.ndarray] = {}
        self._gains: dict[str, np.ndarray] = {}
        self._truth_gain: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        cells: Mapping[str, np.ndarray],
        active: ActiveCells,
        truths: Sequence[FeatureTruth | None],
        concepts: Sequence[str] = (),
    ) -> LabelRuler:
        """Make it of the oracle's reading of pictures; see `Atoms.of_cells`."""
        atoms = Atoms.of_cells(cells)
        return cls(atoms, Activity.of_cells(active, atoms.shape), truths, None, concepts)

    def on_states(self) -> LabelRuler:
        """Return the same ruler over states, each a set of atoms with all cells that have it: fast for many names.

        Relations of neighbours cannot be read on it.
        """
        keys: list[Atom] = [key for key in self.atoms.masks if key[0] != "border"]
        packed = np.zeros(int(np.prod(self.atoms.shape)), np.uint64)
        for bit, key in enumerate(keys):
            packed |= self.atoms.masks[key].reshape(-1).astype(np.uint64) << np.uint64(bit)
        states, state, sizes = np.unique(packed, return_inverse=True, return_counts=True)
        masks = {key: (states >> np.uint64(bit) & np.uint64(1)).astype(bool) for bit, key in enumerate(keys)}
        of = np.repeat(np.arange(len(self.truths)), np.diff(self.activity.starts))
        entry = of * len(states) + state.reshape(-1)[self.activity.positions]
        entries, counts = np.unique(entry, return_counts=True)
        starts = np.searchsorted(entries, np.arange(len(self.truths) + 1) * len(states))
        activity = Activity(starts, entries % len(states), counts.astype(np.float64))
        return LabelRuler(Atoms(masks, False), activity, self.truths, sizes.astype(np.float64), self._more)

    def extension(self, name: str) -> Extension:
        """Return where a name holds; alternatives that together are one concept count as that concept."""
        if name not in self._extensions:
            found = self.atoms.extension(name)
            if not found.problem and bool((found.holds != found.weight).any()) and self._is_concept(found.holds):
                found = Extension(found.holds, found.holds.astype(np.float32))
            self._extensions[name] = found
        return self._extensions[name]

    def verdict(self, name: str, truth: str) -> LabelVerdict:
        """Return the verdict on a name where the truth is a concept, given by its name."""
        if (name, truth) not in self._relations:
            of_truth = self.atoms.extension(truth).holds if truth not in self._concepts else self._concepts[truth]
            self._relations[name, truth] = relation(self.extension(name).holds, of_truth, self.sizes)
        return self._relations[name, truth]

    def verdicts(self, name: str, truths: Sequence[str]) -> list[LabelVerdict]:
        """Return the verdicts on a name beside several truths. No mask is kept, so that many names can be asked for."""
        missing = [truth for truth in truths if (name, truth) not in self._relations]
        holds = self.atoms.extension(name).holds if missing else None
        for truth in missing:
            assert holds is not None
            self._relations[name, truth] = relation(holds, self.atoms.extension(truth).holds, self.sizes)
        return [self._relations[name, truth] for truth in truths]

    def has_verdict(self, name: str, truth: str) -> bool:
        """Return whether a verdict is known already."""
        return (name, truth) in self._relations

    def exact(self, name: str) -> np.ndarray:
        """Return 1 for each feature of which a name is exact, float64 [features]; see `Rule`."""
        truths = (None if t is None else t.concept.name for t in self.truths)
        return np.array([t is not None and self.verdict(name, t) == "exact" for t in truths], np.float64)

    def gain(self, name: str) -> np.ndarray:
        """Return P(name | active) - P(name) of each feature, float64 [features]; 0 for silent ones.

        P is of the name's weight, so that of several alternatives each counts for its share: a name that lists many is
        worth what one of them is worth that was drawn at random.
        """
        if name not in self._gains:
            weight = self.extension(name).weight
            base = np.average(weight, weights=self.sizes)
            self._gains[name] = np.nan_to_num(self.activity.mean(weight) - base)
        return self._gains[name]

    def gain_share(self, name: str) -> np.ndarray:
        """Return a name's gain over that of each feature's truth, float64 [features]; 0 without a truth.

        It is negative where a name holds less often when the feature is active, and above 1 where a broader name than
        the truth is more telling.
        """
        if self._truth_gain is None:
            self._truth_gain = np.ones(len(self.truths))
            for feature, truth in enumerate(self.truths):
                if truth is not None:
                    self._truth_gain[feature] = self.gain(truth.concept.name)[feature]
        known = np.array([truth is not None for truth in self.truths], bool)
        return np.where(known, self.gain(name) / self._truth_gain, 0.0)

    def rules(self) -> dict[str, Rule]:
        """Return the rules by which a `Marking` marks names."""
        return {"exact": self.exact, "gain": self.gain_share, "lenient": lenient_rule(self.truths)}

    def counts(self, names: Mapping[int, str]) -> dict[str, int]:
        """Count the features with a truth by the verdict on their label; without a label it is wrong."""
        found: dict[str, int] = dict.fromkeys(VERDICTS, 0)
        for feature, truth in enumerate(self.truths):
            if truth is not None:
                found[self.verdict(names.get(feature, ""), truth.concept.name)] += 1
        return found

    def unreadable(self, names: Mapping[int, str]) -> dict[str, str]:
        """Return the names that cannot be read, each with the reason."""
        found = {name: self.extension(name).problem for name in names.values() if name}
        return {name: problem for name, problem in sorted(found.items()) if problem}

    def _is_concept(self, holds: np.ndarray) -> bool:
        if not self._concepts:
            names = dict.fromkeys([*(concept.name for concept in all_concepts()), "background", *self._more])
            self._concepts = {name: self.atoms.extension(name).holds for name in names}
        return any(relation(holds, mask, self.sizes) == "exact" for mask in self._concepts.values())

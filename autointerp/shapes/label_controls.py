"""Controls of labels: what names get that were given without looking at any picture.

A figure of labels is worth what it stands above these. `constant` is the best single name for all features, searched;
`majority` is the commonest truth as every feature's name; `shuffled` is the labels themselves on other features.
The constant is searched on one half of the features and marked on the other half, and the other way round. So it is
the figure of a name that was chosen without the features that it is marked on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autointerp.shapes.scenes import ATTRIBUTES, POSITIONS
from autointerp.shapes.truth import FeatureTruth, names_truth

Rule = Callable[[str], np.ndarray]
"""Marks a name against every feature: float64 [features], 1 where the name is right; any value without a truth."""

SHUFFLES = 20
"""Permutations of the labels that the control is a mean over; a single one of a few hundred labels varies much."""
BEAM = 4
"""Names that a search goes on from."""
MOST_WORDS = 14
PATIENCE = 2
"""Rounds without a better name after which a search ends: some words are worth something together alone."""


@dataclass(frozen=True)
class FigureRule:
    """A figure of labels: a rule, and the features that it is a mean over.

    Attributes:
        rule: Name of the rule that marks a name.
        specific: Whether only features with a specific truth count, and not all with a truth.
        macro: Whether it is a mean over concepts, each the mean over the features that have it as their truth.
    """

    rule: str
    specific: bool = False
    macro: bool = False


FIGURES: Mapping[str, FigureRule] = {
    "exact": FigureRule("exact"),
    "exact_specific": FigureRule("exact", specific=True),
    "macro_exact": FigureRule("exact", macro=True),
    "gain_share": FigureRule("gain"),
    "gain_share_specific": FigureRule("gain", specific=True),
    "macro_gain_share": FigureRule("gain", macro=True),
    "lenient": FigureRule("lenient"),
    "lenient_specific": FigureRule("lenient", specific=True),
}
"""Every figure that has controls, by its key in `evaluate --json`."""


def world_words() -> list[str]:
    """Return the words that names are made of in a search."""
    sides = dict.fromkeys(word for place in POSITIONS for word in place.split())
    return [*(word for values in ATTRIBUTES.values() for word in values), *sides, "object"]


class Marking:
    """Names marked against the truths of features, by each rule.

    Args:
        truths: The truth of each feature, or None.
        rules: Rules by name; figures of other rules are left out.
    """

    def __init__(self, truths: Sequence[FeatureTruth | None], rules: Mapping[str, Rule]) -> None:
        self.truths, self.rules = truths, rules
        self.figures = {key: figure for key, figure in FIGURES.items() if figure.rule in rules}
        self.grounded = np.array([t is not None for t in truths], bool)
        self.specific = np.array([t is not None and t.concept.specific for t in truths], bool)
        found: dict[str, int] = {}
        self.concept = np.array(
            [-1 if t is None else found.setdefault(t.concept.name, len(found)) for t in truths], np.int64
        )
        self._known: dict[tuple[str, str], np.ndarray] = {}

    def marks(self, rule: str, name: str) -> np.ndarray:
        """Return how right a name is for each feature; see `Rule`."""
        if (rule, name) not in self._known:
            self._known[rule, name] = np.asarray(self.rules[rule](name), np.float64)
        return self._known[rule, name]

    def counted(self, key: str) -> np.ndarray:
        """Return which features a figure is about, bool [features]."""
        return self.specific if self.figures[key].specific else self.grounded

    def mean(self, key: str, marks: np.ndarray, among: np.ndarray | None = None) -> float | None:
        """Return a figure of marks [features]; of some features alone where a mask is given. None without any."""
        counted = self.counted(key) if among is None else self.counted(key) & among
        if not counted.any():
            return None
        if not self.figures[key].macro:
            return float(marks[counted].mean())
        of, values = self.concept[counted], marks[counted]
        sums, sizes = np.bincount(of, values), np.bincount(of)
        return float((sums[sizes > 0] / sizes[sizes > 0]).mean())

    def of_names(self, names: Mapping[int, str]) -> dict[str, float | None]:
        """Return every figure of labels, each a name by its feature; a feature without a label counts as wrong."""
        return {key: self.mean(key, self._marks_of(figure.rule, names)) for key, figure in self.figures.items()}

    def _marks_of(self, rule: str, names: Mapping[int, str]) -> np.ndarray:
        marks = np.zeros(len(self.truths))
        for feature, name in names.items():
            marks[feature] = self.marks(rule, name)[feature]
        return marks


def lenient_rule(truths: Sequence[FeatureTruth | None]) -> Rule:
    """Return the rule of `names_truth`: the words of the truth are said, whatever else is."""
    concepts = {t.concept.name: t.concept for t in truths if t is not None}
    of = [None if t is None else t.concept.name for t in truths]

    def marks(name: str) -> np.ndarray:
        right = {key: names_truth(name, concept) for key, concept in concepts.items()}
        return np.array([key is not None and right[key] for key in of], np.float64)

    return marks


def search_constant(marking: Marking, key: str, among: np.ndarray | None = None) -> str:
    """Search the name that is best for all features alike: a beam over words, from each word and each truth.

    Args:
        marking: The truths and rules.
        key: The figure that is searched for.
        among: The features that it is searched on, bool [features]; None for all.

    Returns:
        The name; of equal ones the one of fewer words.
    """
    rule = marking.figures[key].rule

    def worth(name: str) -> tuple[float, int]:
        return marking.mean(key, marking.marks(rule, name), among) or 0.0, -len(name.split())

    words = world_words()
    counted = marking.counted(key) if among is None else marking.counted(key) & among
    truths = [t.concept.name for t, counts in zip(marking.truths, counted, strict=True) if counts and t is not None]
    beam = _best(dict.fromkeys([*truths, *words]), worth)
    patience = PATIENCE
    while patience and len(beam[0].split()) < MOST_WORDS:
        longer = [f"{name} {word}" for name in beam for word in words if word not in name.split()]
        # Words in another order say the same, so one order stands for all.
        tried = {" ".join(sorted(name.split())): name for name in [*longer, *beam]}
        found = _best(tried.values(), worth)
        patience = PATIENCE if worth(found[0]) > worth(beam[0]) else patience - 1
        # Names of equal worth are kept out, or the beam would never see a word that pays together with another one.
        beam = found if worth(found[0]) > worth(beam[0]) else [beam[0], *_best(longer, worth)[: BEAM - 1]]
    return max(beam, key=worth)


def _best(names: Iterable[str], worth: Callable[[str], tuple[float, int]]) -> list[str]:
    return sorted(names, key=lambda name: (*(-value for value in worth(name)), name))[:BEAM]


def constant_labels(marking: Marking) -> dict[str, Any]:
    """Return each figure of the best constant name, and under `names` the name that is best for all features.

    The value is of names that were searched on the other half of the features. The halves have the same truths, as
    far as their numbers allow.
    """
    found: dict[str, Any] = {}
    names = {}
    order = np.argsort(marking.concept, kind="stable")
    half = np.zeros(len(marking.truths), bool)
    half[order[::2]] = True
    for key, figure in marking.figures.items():
        marks = np.zeros(len(marking.truths))
        for marked in (half, ~half):
            searched = marking.counted(key) & ~marked
            name = search_constant(marking, key, searched) if searched.any() else ""
            marks[marked] = marking.marks(figure.rule, name)[marked]
        found[key] = marking.mean(key, marks)
        names[key] = search_constant(marking, key) if marking.counted(key).any() else ""
    return {**found, "names": names}


def majority_label(marking: Marking) -> dict[str, Any]:
    """Return each figure of the commonest truth as the name of every feature, and those truths under `names`.

    For a figure of specific features it is the commonest specific truth. By the exact rule its figure is the share of
    the commonest truth.
    """
    found: dict[str, Any] = {}
    names = {}
    for key, figure in marking.figures.items():
        counted = marking.counted(key)
        truths = [t.concept.name for t, counts in zip(marking.truths, counted, strict=True) if counts and t is not None]
        names[key] = max(Counter(truths).items(), key=lambda item: (item[1], item[0]))[0] if truths else ""
        found[key] = marking.mean(key, marking.marks(figure.rule, names[key]))
    return {**found, "names": names}


def shuffled_labels(marking: Marking, names: Mapping[int, str], seed: int) -> dict[str, float | None]:
    """Return the mean of each figure of the same labels on other features, over several permutations."""
    indices = sorted(names)
    draw = np.random.default_rng((seed, 41))
    found = []
    for _ in range(SHUFFLES):
        order = draw.permutation(len(indices))
        found.append(
            marking.of_names({index: names[indices[other]] for index, other in zip(indices, order, strict=True)})
        )
    return {
        key: None if value is None else float(np.mean([one[key] for one in found])) for key, value in found[0].items()
    }


def truthless_named(truths: Sequence[FeatureTruth | None], names: Mapping[int, str]) -> float | None:
    """Return the share of features without a truth that have a name all the same; None where all have a truth."""
    without = [feature for feature, truth in enumerate(truths) if truth is None]
    return sum(bool(names.get(feature)) for feature in without) / len(without) if without else None

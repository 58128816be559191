"""Whether names tell features apart: how many differ, and what the pass over features of one name reached.

Pairs are features that had the same name before the pass. A difference tells a pair apart if it holds more often where
its own feature is active than where the other one is, by `CLEAR` at least, on held-out pictures.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.labeling.labelers.new_words import HOLDS
from autointerp.labeling.namesakes import words_of
from autointerp.shapes.fine_concepts import fine_masks
from autointerp.shapes.halves import half_samples, spread
from autointerp.shapes.label_intervals import Interval, cluster_error, share_interval
from autointerp.shapes.label_verdict import relation
from autointerp.shapes.truth import MIN_IMAGES, feature_precisions

if TYPE_CHECKING:
    from autointerp.shapes.verdict import Evaluated

CLEAR = 0.3
"""Least difference of precisions that tells two features apart."""
PAIRS = 500
"""Pairs that are drawn, at most."""
SHUFFLES = 20


@dataclass(frozen=True)
class NamedApart:
    """A label, with what the pass over features of one name said of it.

    Attributes:
        name: Its name.
        before: Its name before the pass.
        difference: What only this feature has; empty where nothing is said.
        apart_from: Latents that it was told from; None where nobody was asked.
        same_as: Latents that respond to the same.
    """

    name: str
    before: str
    difference: str = ""
    apart_from: Sequence[int] | None = None
    same_as: Sequence[int] = ()


@dataclass(frozen=True)
class ApartFigures:
    """What names tell apart.

    Attributes:
        distinct_names: Names that differ, by their words.
        distinct_before: The same before the pass.
        distinct_extensions: Sets of cells that differ, of the names whose every word holds on held-out cells.
        told_apart: Share of the pairs that a stated difference tells apart; None without a pass or pairs.
        shuffled: The same with the differences of features of one name dealt out anew among them.
        pairs: Pairs that were drawn.
        stated: Differences that are stated of a feature and a namesake.
        stated_hold: Share of these that hold: on held-out cells more often in the feature's, by `CLEAR`.
        stated_shuffled: The same with the stated differences of features of one name dealt out anew among them.
        differ: Share of the pairs that some concept of the finer list tells apart: what can be reached. None without a
            pass.
        duplicates: Answers about two features that no such concept tells apart.
        duplicates_recognised: Share of these answers by which the two are the same.
        mistaken: The same share of the answers about other pairs.
        intervals: 95% intervals of `told_apart`, `distinct_extensions` and `duplicates_recognised`.
    """

    distinct_names: int
    distinct_before: int
    distinct_extensions: int
    told_apart: float | None
    shuffled: float | None
    pairs: int
    stated: int
    stated_hold: float | None
    stated_shuffled: float | None
    differ: float | None
    duplicates: int
    duplicates_recognised: float | None
    mistaken: float | None
    intervals: Mapping[str, Interval | None]

    def as_dict(self) -> dict[str, Any]:
        """Return the figures under `apart` in `evaluate --json`; `told_apart` and the intervals stand beside it."""
        found = asdict(self)
        for key in ("told_apart", "shuffled", "intervals", "distinct_names"):
            del found[key]
        return found


def apart_figures(own: Evaluated, labels: Mapping[int, NamedApart], seed: int) -> ApartFigures:
    """Return the figures of a dictionary's labels.

    Args:
        own: The features' truths, with the held-out pictures.
        labels: The label of each named feature, by its latent.
        seed: Seed of the draws.
    """
    held = _HeldOut(own)
    extensions = held.distinct_extensions({latent: label.name for latent, label in labels.items()})
    pairs = drawn_pairs({latent: label.before for latent, label in labels.items()}, seed)
    asked = any(label.apart_from for label in labels.values()) or any(label.same_as for label in labels.values())
    told = _told(held, labels, pairs) if asked and pairs else None
    # Masks of the finer list take seconds, so that they are made only where the pass was.
    truly = held.differ(pairs) if asked else []
    answers = [
        (latent, other, other in label.same_as)
        for latent, label in sorted(labels.items())
        for other in (*(label.apart_from or ()), *label.same_as)
    ]
    differ = held.differ([(one, other) for one, other, _ in answers])
    alike = [(one, same) for (one, _, same), known in zip(answers, differ, strict=True) if known is False]
    others = [same for (_, _, same), known in zip(answers, differ, strict=True) if known]
    names = [_group(labels[one].before) for one, _ in alike]
    said = {latent: label.difference for latent, label in labels.items() if label.difference}
    stated = _stated(held, labels, said)
    return ApartFigures(
        distinct_names=len({_group(label.name) for label in labels.values()}),
        distinct_before=len({_group(label.before) for label in labels.values()}),
        distinct_extensions=extensions[-1],
        told_apart=None if told is None else float(told[-1].mean()),
        shuffled=None if told is None else _shuffled(held, labels, pairs, seed),
        pairs=len(pairs),
        stated=len(stated),
        stated_hold=_share(stated),
        stated_shuffled=_share([one for dealt in _dealt(labels, said, seed) for one in _stated(held, labels, dealt)]),
        differ=_share([bool(one) for one in truly]),
        duplicates=len(alike),
        duplicates_recognised=_share([same for _, same in alike]),
        mistaken=_share(others),
        intervals={
            "told_apart": None
            if told is None
            else _interval(told, [_group(labels[one].before) for one, _ in pairs], seed),
            "distinct_extensions": _count_interval(extensions),
            "duplicates_recognised": _interval(np.array([[same for _, same in alike]], float), names, seed)
            if alike
            else None,
        },
    )


def drawn_pairs(names: Mapping[int, str], seed: int, most: int = PAIRS) -> list[tuple[int, int]]:
    """Draw pairs of features whose names have the same words; all pairs where there are few.

    Args:
        names: The name of each feature.
        seed: Seed of the draw.
        most: Pairs, at most.
    """
    groups: dict[frozenset[Any], list[int]] = {}
    for latent in sorted(names):
        groups.setdefault(_group(names[latent]), []).append(latent)
    alike = [some for some in groups.values() if len(some) > 1]
    ends = np.cumsum([len(some) * (len(some) - 1) // 2 for some in alike]).tolist()
    count = ends[-1] if ends else 0
    chosen = sorted(random.Random(seed).sample(range(count), min(most, count)))
    found = []
    for number in chosen:
        at = int(np.searchsorted(ends, number, side="right"))
        left, first = number - (ends[at - 1] if at else 0), 0
        while left >= len(alike[at]) - 1 - first:
            left -= len(alike[at]) - 1 - first
            first += 1
        found.append((alike[at][first], alike[at][first + 1 + left]))
    return found


class _HeldOut:
    """Where things hold in the active cells of features, on all held-out pictures and on halves of them."""

    def __init__(self, own: Evaluated) -> None:
        self._own, self._ruler, self._images = own, own.ruler, own.seen.images
        self._parts = np.concatenate(
            [half_samples(self._images, own.halves.seed), np.ones((1, self._images), bool)]
        ).astype(np.float64)
        self._cells = int(np.prod(self._ruler.atoms.shape)) // max(self._images, 1)
        self._known: dict[tuple[str, int], np.ndarray] = {}

    def share(self, said: str, feature: int) -> np.ndarray:
        """Return P(said | active), float64 [halves + 1], all pictures last; 0 where a feature is silent."""
        if (said, feature) not in self._known:
            holds = self._ruler.atoms.extension(said).holds if said else np.zeros(self._ruler.atoms.shape, bool)
            self._known[said, feature] = self._share(holds, feature)
        return self._known[said, feature]

    def _share(self, holds: np.ndarray, feature: int) -> np.ndarray:
        activity = self._ruler.activity
        at = activity.positions[slice(*activity.starts[feature : feature + 2])]
        image = at // self._cells
        yes, all_of = (
            self._parts @ np.bincount(image, weights, self._images)
            for weights in (holds.reshape(-1)[at].astype(np.float64), np.ones(len(at)))
        )
        return np.asarray(yes / np.maximum(all_of, 1e-12))

    def distinct_extensions(self, names: Mapping[int, str]) -> list[int]:
        """Return how many extensions differ, of names whose every word holds: on each half, and on all pictures."""
        atoms = self._ruler.atoms
        kind: dict[str, int] = {}
        extensions: list[tuple[np.ndarray, int]] = []
        words = {name: atoms.words(name) for name in dict.fromkeys(names.values())}
        for name, said in words.items():
            if not said:
                continue
            holds = atoms.extension(name).holds
            size = int(holds.sum())
            same = (
                at
                for at, (other, of_other) in enumerate(extensions)
                if abs(size - of_other) <= 0.05 * max(size, of_other) and relation(holds, other) == "exact"
            )
            kind[name] = next(same, len(extensions))
            if kind[name] == len(extensions):
                extensions.append((holds, size))
        found: list[set[int]] = [set() for _ in self._parts]
        for feature, name in names.items():
            if words[name]:
                held = np.min([self._share(mask, feature) for mask in words[name]], 0) >= HOLDS
                for at in np.flatnonzero(held).tolist():
                    found[at].add(kind[name])
        return [len(some) for some in found]

    def differ(self, pairs: Sequence[tuple[int, int]]) -> list[bool | None]:
        """Return whether a concept of the finer list tells each pair apart; None where a feature is hardly active."""
        if not pairs:
            return []
        precisions, images = self._precisions
        return [
            bool(np.abs(precisions[one] - precisions[other]).max() >= CLEAR)
            if min(images[one], images[other]) >= MIN_IMAGES
            else None
            for one, other in pairs
        ]

    @cached_property
    def _precisions(self) -> tuple[np.ndarray, np.ndarray]:
        """P(concept | active), float64 [features, concepts], and in how many pictures each feature is active."""
        active = self._own.seen.active
        _, masks = fine_masks(dict(self._own.seen.cells))
        shown = np.unique(active.feature.astype(np.int64) * max(self._images, 1) + active.image)
        images = np.bincount(shown // max(self._images, 1), minlength=active.num_features)
        return feature_precisions(active, masks), images


def _group(name: str) -> frozenset[Any]:
    return words_of(name)


def _told(held: _HeldOut, labels: Mapping[int, NamedApart], pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return which pairs are told apart, float64 [halves + 1, pairs]."""
    said = {latent: label.difference for latent, label in labels.items()}
    return np.array([_gap(held, said, pair) >= CLEAR for pair in pairs], float).T


def _gap(held: _HeldOut, said: Mapping[int, str], pair: tuple[int, int]) -> np.ndarray:
    """Return by how much the better of two features' differences tells them apart, float64 [halves + 1]."""

    def gaps() -> Iterator[np.ndarray]:
        for own, other in (pair, pair[::-1]):
            yield held.share(said[own], own) - held.share(said[own], other)

    return np.maximum(*gaps())


def _shuffled(held: _HeldOut, labels: Mapping[int, NamedApart], pairs: Sequence[tuple[int, int]], seed: int) -> float:
    """Return the share of the pairs that are told apart where features of one name get each other's differences."""
    said = {latent: label.difference for latent, label in labels.items()}
    return float(
        np.mean([np.mean([_gap(held, one, pair)[-1] >= CLEAR for pair in pairs]) for one in _dealt(labels, said, seed)])
    )


def _dealt(labels: Mapping[int, NamedApart], said: Mapping[int, str], seed: int) -> Iterator[dict[int, str]]:
    """Deal out what is said of features anew among those of one name, `SHUFFLES` times."""
    groups: dict[frozenset[Any], list[int]] = {}
    for latent in sorted(said):
        groups.setdefault(_group(labels[latent].before), []).append(latent)
    draw = np.random.default_rng((seed, 83))
    for _ in range(SHUFFLES):
        dealt: dict[int, str] = {}
        for some in groups.values():
            order = draw.permutation(len(some)).tolist()
            dealt |= {latent: said[some[at]] for latent, at in zip(some, order, strict=True)}
        yield dealt


def _stated(held: _HeldOut, labels: Mapping[int, NamedApart], said: Mapping[int, str]) -> list[bool]:
    """Return of each feature, and each namesake that it was told from, whether what is said of the feature holds."""
    return [
        bool(held.share(text, latent)[-1] - held.share(text, other)[-1] >= CLEAR)
        for latent, text in sorted(said.items())
        for other in labels[latent].apart_from or ()
    ]


def _share(marks: Sequence[bool]) -> float | None:
    return float(np.mean(marks)) if marks else None


def _interval(marks: np.ndarray, groups: Sequence[Any], seed: int) -> Interval | None:
    """Return the interval of a share over pairs; marks are float64 [halves + 1, pairs], or of all pictures alone.

    Names are what was drawn, with all their pairs; pictures are joined where there are halves.
    """
    number: dict[Any, int] = {}
    of = np.array([number.setdefault(group, len(number)) for group in groups])
    error = cluster_error(marks[-1], of, seed)
    if error is None:
        return None
    return share_interval(float(marks[-1].mean()), error, spread(marks[:-1].mean(1)), int(of.max()) + 1, len(of))


def _count_interval(counts: Sequence[int]) -> Interval:
    """Return the interval of a count over sets of pictures."""
    reach = 1.96 * spread(np.array(counts[:-1], float))
    return max(0.0, counts[-1] - reach), counts[-1] + reach

"""A dictionary's features against the finer list of concepts, and against pictures that are not theirs.

A truth of the finer list is found on the choosing pictures, and counts only if it holds on the measuring ones too: a
list of many concepts always has one that fits some pictures by chance. As a control, every feature's activations are
moved to other pictures. What is then still found are places in the picture, or artefacts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from autointerp.shapes.concepts import Concept, all_concepts
from autointerp.shapes.fine_concepts import fine_masks, is_place
from autointerp.shapes.label_verdict import LabelRuler
from autointerp.shapes.truth import MIN_ODDS_RATIO, MIN_PRECISION, feature_precisions, feature_truths, odds_ratios
from autointerp.shapes.verdict import Firing


class FineTruth:
    """The held-out pictures under the finer list, parted into choosing and measuring ones.

    Args:
        cells: As for `concept_masks`.
        grid: (rows, cols) of the layer.
        choosing: The pictures on which truths are found, bool [images]; they count if they hold on the others.
    """

    def __init__(self, cells: dict[str, np.ndarray], grid: tuple[int, int], choosing: np.ndarray) -> None:
        self.grid, self.choosing = grid, choosing
        self.concepts, self._chosen_on = fine_masks({name: value[choosing] for name, value in cells.items()})
        _, self._measured_on = fine_masks({name: value[~choosing] for name, value in cells.items()})

    def of(self, firing: Firing, share: float) -> list[Concept | None]:
        """Return each feature's truth that was found on the choosing pictures and holds on the measuring ones."""
        found = feature_truths(firing.active(share, self.choosing, self.grid), self.concepts, self._chosen_on)
        precision = feature_precisions(firing.active(share, ~self.choosing, self.grid), self._measured_on)
        base_rate = self._measured_on.reshape(len(self.concepts), -1).mean(1)
        holds = (precision >= MIN_PRECISION) & (odds_ratios(precision, base_rate) >= MIN_ODDS_RATIO)
        row_of = {concept.name: row for row, concept in enumerate(self.concepts)}
        return [
            truth.concept if truth is not None and holds[feature, row_of[truth.concept.name]] else None
            for feature, truth in enumerate(found)
        ]


def moved(firing: Firing, choosing: np.ndarray, grid: tuple[int, int], seed: int = 0) -> Firing:
    """Move the activations of each picture to another picture of the same part; cells keep their places.

    Args:
        firing: Where features fire.
        choosing: The two parts of the pictures, bool [images].
        grid: (rows, cols) of the layer.
        seed: Seed of the order of pictures.
    """
    draw = np.random.default_rng((seed, 43))
    to = np.arange(len(choosing))
    for part in (choosing, ~choosing):
        order = draw.permutation(np.flatnonzero(part))
        to[order] = np.roll(order, 1)  # one circle through all pictures, so that none stays where it is
    tokens = grid[0] * grid[1]
    return replace(firing, cell=to[firing.cell // tokens] * tokens + firing.cell % tokens)


def fine_label_figures(
    ruler: LabelRuler, truths: Sequence[str | None], names: Mapping[int, str]
) -> dict[str, float | None]:
    """Return the share of exact labels where the truths are those of the finer list.

    `exact` is of all features with a truth of that list, `exact_narrower` of those whose truth is not on the coarse
    list. None where there are none. A feature without a label counts as wrong.

    Args:
        ruler: What reads names, on the held-out pictures.
        truths: The name of each feature's truth on the finer list, or None.
        names: The name of each labeled feature.
    """
    coarse = {concept.name for concept in all_concepts()}
    exact = {
        feature: ruler.verdict(names.get(feature, ""), truth) == "exact"
        for feature, truth in enumerate(truths)
        if truth is not None
    }
    narrower = [right for feature, right in exact.items() if truths[feature] not in coarse]
    return {
        "exact": sum(exact.values()) / len(exact) if exact else None,
        "exact_narrower": sum(narrower) / len(narrower) if narrower else None,
    }


def fine_figures(truth: FineTruth, firing: Firing, share: float, seed: int = 0) -> dict[str, Any]:
    """Return the figures of the finer list, as shares of all features, with the control `moved`.

    `narrower` is the share of features whose truth is not on the coarse list; `distinct` counts truths that differ.
    Under `moved`, `places` is the share of features whose truth is a place alone, and `grounded` of those with any.
    `truths` are the names of the truths, or None, by feature.
    """
    own = truth.of(firing, share)
    elsewhere = truth.of(moved(firing, truth.choosing, truth.grid, seed), share)
    coarse = {concept.name for concept in all_concepts()}
    count = max(len(own), 1)
    kinds: dict[str, int] = {}
    for concept in own:
        if concept is not None:
            kinds[concept.kind] = kinds.get(concept.kind, 0) + 1
    return {
        "grounded": sum(concept is not None for concept in own) / count,
        "specific": sum(concept is not None and concept.specific for concept in own) / count,
        "narrower": sum(concept is not None and concept.name not in coarse for concept in own) / count,
        "distinct": len({concept.name for concept in own if concept is not None}),
        "kinds": dict(sorted(kinds.items(), key=lambda item: -item[1])),
        "truths": [None if concept is None else concept.name for concept in own],
        "moved": {
            "grounded": sum(concept is not None for concept in elsewhere) / count,
            "places": sum(concept is not None and is_place(concept) for concept in elsewhere) / count,
        },
    }

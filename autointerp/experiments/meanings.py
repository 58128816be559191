"""What the words of a report mean: its figures and its ways, in a line each, for who has read nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from autointerp.experiments.ways import WAYS
from autointerp.views.compared_models import ALONE, CHANCE, DIFFER, DIFFERENCE, FOUND, SWAPPED, change_figure
from autointerp.views.figures import Figure

_EDITS: Mapping[str, str] = {
    "success": "share of cases that are reached with at least 90% of the cells outside kept",
    "reached": "share of cases in which the edited cells show what was wanted",
    "kept": "share of what lies outside of the edited cells that is as it was before",
    "valid": "share of pictures that the world could have painted, or in which anything of the case is found",
    "CLIP gain": "how much nearer the picture came to the wanted prompt",
    "distance": "how much the picture differs from the one before the edit",
    "area under the curve": "mean success over the doublings of the number of features",
    "plain pictures that show their caption": "cases that are measured; all others are left out",
    **{name: way.help for name, way in WAYS.items()},
    "random": "as much is added as by sae, along a random direction",
    "none": "no edit",
    "prompt": "the wanted prompt in place of an edit, from the first step on: the upper bound",
}
_READOUTS: Mapping[str, str] = {
    "IoU of": "overlap of the map that is read with the cells that have the concept in the finished picture; 1 is all",
    "raw": "a linear readout of the layer's activations",
    "codes": "a linear readout of the dictionary's codes",
    "words": "a linear readout of the attention to each word of the prompt, of the step's blocks up to the layer",
    "labels": "the features whose label says the word, without a fit",
    "neurons": "a linear readout of the hidden units of the layer's MLP",
    "random": "a linear readout of codes along random directions",
    "shuffled labels": "as labels, with the labels given to other features",
    "input": "a linear readout of the denoiser's own input, the noised picture",
    "prompt words": "a linear readout of which words the prompt has, the same in all cells",
    "places": "how often the concept is at that cell in other pictures",
}

MEANINGS: Mapping[str, Mapping[str, str]] = {
    "transfer": {
        "fvu": "share of the layer's variance that the dictionary leaves unexplained; 1 is as good as the mean",
        "l0": "latents that fire in a cell",
        "dead share": "share of latents that fire in no cell of all the pictures",
        "strongest pictures shared": "of a feature's ten strongest pictures at home, the share among its ten here",
        "labels that stay true": "of the labels that are true at home, the share that is true here",
        "dictionary": "the dictionary, which was fitted in the first condition",
        "random": "random directions, of which as many fire",
    },
    "emergence": _READOUTS,
    "probe": {
        **_READOUTS,
        "all inputs": "balanced accuracy of a probe: the mean over the values of the share of their cells that is told "
        "right; a guess gets 1 / (number of values)",
        "best 32 inputs": "the same of probes that get the 32 inputs that say most one by one",
        "best 8 inputs": "the same with 8 inputs",
    },
    "edit": _EDITS,
    "intervene": _EDITS,
    "erase": {
        "gone": "of the pictures that show the concept without an edit, the share that does not show it any more",
        "kept in its attribute": "of the cells with another value of the concept's attribute, the share that keeps it",
        "kept elsewhere": "of the cells' other attributes, or the places outside, the share that stays",
        "valid": _EDITS["valid"],
        "strength": "the strength that was chosen on other pictures",
        "sae": "what the features of the largest contrast contribute is taken away",
        "sae by search": "the same, of features whose names say the word",
        "means": "cells are moved towards the mean of the other values",
        "neurons": "as means, for each hidden unit of the layer's MLP",
        "random": "as much is taken away as by sae, along a random direction",
        "none": _EDITS["none"],
        "prompt": "the caption without the word",
        "negative prompt": "the word as what guidance leads away from",
    },
    "models": {
        "fvu": "share of the model's variance at the layer that the dictionary leaves unexplained",
        "l0": "latents that fire in a cell",
        DIFFER: "features that differ more than any would by chance, by whether they fire more, less, newly or no more",
        ALONE: "the same, each feature tested as if it were the only one",
        FOUND: "what was counted",
        SWAPPED: "the same count after the pictures of pairs were swapped: what chance finds",
        change_figure("").partition(":")[0]: "of the features that differ most, a row each",
        DIFFERENCE: "percent of cells on the other model, less that on the workspace's",
        CHANCE: "how often the largest difference of any feature is as large by chance",
    },
}
"""Experiment -> figure or way -> what it is. A figure's name may begin or end with it: `success: color`, `color, all
inputs`."""


def meanings_of(kind: str, figures: Iterable[Figure]) -> list[tuple[str, str]]:
    """Return what the figures and the ways of an experiment mean, of those that it has, in the order of `MEANINGS`."""
    known = MEANINGS.get(kind, {})
    found = {known_word for figure in figures for known_word in (_word(figure.name, known), figure.way)}
    return [(word, text) for word, text in known.items() if word in found]


def _word(name: str, known: Mapping[str, str]) -> str:
    """Return the longest known word that a figure's name begins or ends with; the name itself where there is none."""
    words = [word for word in known if f"{name} ".startswith((f"{word} ", f"{word}:")) or name.endswith(f", {word}")]
    return max(words, key=len, default=name)

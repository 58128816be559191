"""What `show` prints of one feature, as values without pixels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from autointerp.db.models import LabelStatus, Role, Split, State


@dataclass(frozen=True)
class FeatureLabel:
    """A label of a feature, and the labeler that gave it. Only a label of status `ok` has a name.

    `told_apart_from` has the features of nearly the same name that it was told from, `difference` what only this
    feature has of those, `same_as` those that respond to the same, and `name_before` its earlier name, where that
    changed.
    """

    status: LabelStatus
    name: str
    explanation: str
    confidence: float
    labeler: str
    error: str = ""
    told_apart_from: tuple[str, ...] = ()
    difference: str = ""
    name_before: str = ""
    same_as: tuple[str, ...] = ()


@dataclass(frozen=True)
class FeatureScore:
    """A method's figure for a label, with its 95% interval; `value` is None where nothing could be scored."""

    method: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    note: str = ""


@dataclass(frozen=True)
class LabelerAnswer:
    """The label that one of several labelers gives a feature, with the scores of that label.

    Attributes:
        label: The label, under the labeler's whole name.
        counts: This is the label that the view shows for the feature.
        scores: The label's scores.
    """

    label: FeatureLabel
    counts: bool
    scores: tuple[FeatureScore, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return an entry of `labels` in `show --json`."""
        return {**asdict(self.label), "counts": self.counts, "scores": [asdict(score) for score in self.scores]}


class HistogramLevel(NamedTuple):
    """Cells whose activation lies between `edge` and the next level's edge."""

    edge: float
    cells: int


@dataclass(frozen=True)
class Neighbour:
    """A feature that fires in the same cells, with the Jaccard index of the two sets of cells."""

    feature: str
    name: str
    jaccard: float


@dataclass(frozen=True)
class AtomSource:
    """The source of an atom of an ITDA dictionary: prompt, seed, step and cell of an image.

    `token` is the text token at that place; None for image tokens, and where the tokenizer is not at hand.
    """

    prompt: str
    seed: int | None
    step: int | None
    cell: tuple[int | None, int | None]
    token: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return the value of `atom` in `show --json`."""
        return {**asdict(self), "cell": list(self.cell)}


@dataclass(frozen=True)
class CropPlace:
    """The place in one image where a feature fires, or, for a negative, an image in which the feature is silent.

    Attributes:
        image: Number of the image in its run.
        prompt: Prompt of the image.
        role: `top`, `quantile` or `negative`.
        neighbour: Of a hard negative, the feature of like direction that fires in the image.
        split: `explain` or `score`.
        activation: Activation at the cell; 0 for a negative.
        cell: (row, col) of the maximum; None for a negative. For text tokens the column is the token's number.
        token: The text token at the cell, where the dictionary reads text tokens and the tokenizer is at hand.
        step: Denoising step, from 0; None for a negative.
        box: (left, top, right, bottom) in pixels of the stored picture.
    """

    image: int
    prompt: str
    role: Role
    neighbour: str | None
    split: Split
    activation: float
    cell: tuple[int, int] | None
    token: str | None
    step: int | None
    box: tuple[int, int, int, int]

    def as_dict(self) -> dict[str, Any]:
        """Return an entry of `crops` in `show --json`."""
        return {**asdict(self), "cell": None if self.cell is None else list(self.cell), "box": list(self.box)}


@dataclass(frozen=True)
class FeatureView:
    """One feature with its labels, scores, crops and neighbours.

    Attributes:
        feature: The feature's name, `DICTIONARY:INDEX`.
        stream: `image` or `text`: the tokens on which it fires.
        state: `live`, `dead` or `dense`.
        density: Share of cells in which it is active.
        max_activation: Over all harvested cells.
        mean_activation: Over the cells in which it is active.
        histogram: Cells by level of activation, the weakest level first.
        steps: Denoising step -> share of the activation.
        neighbours: The features that fire with it most.
        atom: Source of its atom, where the dictionary is of kind ITDA.
        label: The label that counts, or that of a chosen labeler.
        scores: Scores of that label.
        answers: The label of each labeler, oldest first.
        crops: Top crops, then quantiles, then negatives, each by rank.
        assumed: What was assumed when the dictionary was imported; empty for one that was fitted here.
    """

    feature: str
    stream: str
    state: State
    density: float
    max_activation: float
    mean_activation: float
    histogram: tuple[HistogramLevel, ...]
    steps: dict[int, float]
    neighbours: tuple[Neighbour, ...]
    atom: AtomSource | None
    label: FeatureLabel | None
    scores: tuple[FeatureScore, ...]
    answers: tuple[LabelerAnswer, ...]
    crops: tuple[CropPlace, ...]
    assumed: tuple[str, ...] = ()

    @property
    def index(self) -> int:
        """Index of the latent."""
        return int(self.feature.rpartition(":")[2])

    def as_dict(self) -> dict[str, Any]:
        """Return the stable keys of `show --json`."""
        return {
            "feature": self.feature,
            "stream": self.stream,
            "state": self.state,
            "density": self.density,
            "max_activation": self.max_activation,
            "mean_activation": self.mean_activation,
            "histogram": [{"from": level.edge, "cells": level.cells} for level in self.histogram],
            "steps": dict(self.steps),
            "neighbours": [asdict(one) for one in self.neighbours],
            "atom": None if self.atom is None else self.atom.as_dict(),
            "label": None if self.label is None else asdict(self.label),
            "scores": [asdict(score) for score in self.scores],
            "labels": [answer.as_dict() for answer in self.answers],
            "crops": [crop.as_dict() for crop in self.crops],
            "assumed": list(self.assumed),
        }

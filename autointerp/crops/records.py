"""Values of a collector: how much it keeps, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from autointerp.crops.maxima import BatchMaxima, SampledCells
from autointerp.crops.split import Split

Role = Literal["top", "quantile", "negative"]
ACTIVE_SHARE = 0.25
"""A feature is active in a cell where it is above this share of its maximum."""


@dataclass(frozen=True)
class Quota:
    """How much is kept of each feature and split.

    Attributes:
        top: Crops of highest activation.
        reservoir: Crops that are drawn evenly from all images in which the feature fires.
        negatives: Images that are drawn at random from those in which it is silent.
        hard: Hard negatives.
        cells: Cells that are sampled in all, to find the features that fire together.
        sample: Images that are drawn in proportion to the number of their active cells.
        random_cells: Cells of each split that are drawn evenly, for all features together.
    """

    top: int
    reservoir: int
    negatives: int
    hard: int = 0
    cells: int = 0
    sample: int = 0
    random_cells: int = 0


class CropRow(NamedTuple):
    """A crop to be stored.

    `rank` counts from 0 within feature, split and role. Crops are ranked by activation; negatives in a random order
    that is the same for all features, with hard ones last. `quantile` is the tenth of the feature's range of activation
    that a quantile crop lies in. A negative has activation 0 and no step, cell or map. A hard negative names its
    `neighbour`, the feature that fires there.

    A crop of the feature's sample of active cells has a `sample_probability`, whatever its role. One that is kept for
    the sample alone has the role `quantile`, no quantile, and a rank behind the others.
    """

    feature: int
    image: int
    split: Split
    role: Role
    rank: int
    activation: float
    step: int | None = None
    row: int | None = None
    col: int | None = None
    grid: tuple[int, int] | None = None
    quantile: int | None = None
    activation_map: bytes | None = None
    neighbour: int | None = None
    sample_probability: float | None = None


class RandomCell(NamedTuple):
    """A cell of the layer that was drawn at random, of all images and steps that were read."""

    image: int
    step: int
    row: int
    col: int
    grid: tuple[int, int]
    split: Split


@dataclass(frozen=True)
class FeatureStats:
    """Figures of every feature over all cells, images and steps that were seen.

    Attributes:
        density: Share of cells in which the feature is active, float64 [features].
        mean: Mean activation in these cells, 0 where there are none, float64 [features].
        maximum: Largest activation, float32 [features].
        images: Images in which the feature is active, int64 [features].
        histogram: Cells by activation, int64 [features, LEVELS]; see `levels.level_edges`.
        steps: For each denoising step, its share of the feature's activation, float64 [features].
        neighbours: For each feature, those that fire with it most, with the Jaccard index of their cells.
    """

    density: np.ndarray
    mean: np.ndarray
    maximum: np.ndarray
    images: np.ndarray
    histogram: np.ndarray
    steps: dict[int, np.ndarray]
    neighbours: list[list[tuple[int, float]]]


@dataclass(frozen=True)
class Reduced:
    """The part of one step of a batch that may yet be kept; `side` int64 is the split of each of `maxima.images`.

    `sampled` are cells with the latents that fire in them; `random` are the fields of cells that are drawn at random.
    """

    maxima: BatchMaxima
    side: np.ndarray
    sampled: SampledCells | None
    random: dict[str, np.ndarray]

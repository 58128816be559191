"""Marked cells of stored crops, for a dictionary that was harvested before samples of cells were kept.

The score `gain` is shown cells in which a feature is active, and random cells of its layer. `CellSampleReader` reads
the harvest's own samples of both; here both are drawn from the crops that features show. Pictures are kept for two
reasons: the strongest ones of a feature for certain, others by chance. How many cells each of the others stands for
follows from the histogram of the feature's activations, which counts all cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from autointerp.crops.levels import level_edges
from autointerp.crops.records import ACTIVE_SHARE
from autointerp.crops.split import SCORE_SHARE
from autointerp.db import queries
from autointerp.labeling.evidence.drawing import ActivePicture, active_picture, draw_cells, marked_at
from autointerp.labeling.protocol import CropEvidence

if TYPE_CHECKING:
    from autointerp.db.engine import Database
    from autointerp.db.models import DictionaryRow, Feature, Split


class StoredCrops(Protocol):
    """Reads a dictionary's crops and pictures; see `EvidenceReader`."""

    db: Database
    dictionary: DictionaryRow
    placed: bool

    def crops(
        self, feature_ids: Sequence[int], split: Split | None = None, hard: bool = False
    ) -> dict[int, list[CropEvidence]]:
        """Return each feature's crops."""
        ...

    def pictures(self, image_ids: Sequence[int]) -> dict[int, CropEvidence]:
        """Return whole images, each as a crop without a mark."""
        ...


def active_cells(
    reader: StoredCrops, latents: Mapping[int, int], count: int, seed: int
) -> dict[int, list[CropEvidence]]:
    """Return cells of the score split in which each feature is active, by the feature's id, in random order.

    Args:
        reader: Reads the dictionary's crops.
        latents: The latent of each feature, by the feature's id.
        count: Cells of a feature, at most.
        seed: Seed of the draw.
    """
    with reader.db.session() as session:
        features = queries.features.with_dictionaries(session, latents)
        session.expunge_all()
    crops = reader.crops(list(latents), "score")
    return {
        feature_id: draw_cells(
            _active_pictures(features[feature_id].feature, crops[feature_id], max(len(reader.dictionary.steps), 1)),
            count,
            np.random.default_rng((seed, latent, 3)),
        )
        for feature_id, latent in latents.items()
    }


def _active_pictures(feature: Feature, crops: Iterable[CropEvidence], steps: int) -> list[ActivePicture]:
    """Return a feature's stored pictures, each with the number of cells that its cells stand for."""
    found = [one for crop in crops if (one := active_picture(crop, feature.max_activation)) is not None]
    drawn = sum(len(one.cells) for one in found if one.crop.role == "quantile")
    certain = sum(len(one.cells) for one in found if one.crop.role != "quantile")
    # The histogram counts cells of all steps, and a map is of one step.
    missing = SCORE_SHARE * cells_above(feature, ACTIVE_SHARE * feature.max_activation) / steps - certain
    stands_for = max(1.0, missing / drawn) if drawn else 1.0
    return [ActivePicture(one.crop, one.cells, stands_for if one.crop.role == "quantile" else 1.0) for one in found]


def cells_above(feature: Feature, threshold: float) -> float:
    """Return how many cells a feature's histogram has above a threshold; a level that holds it counts in part."""
    counts = feature.histogram.get("counts", [])
    first = feature.histogram.get("first", 0)
    edges = [*level_edges(), math.inf]
    total = 0.0
    for level, cells in enumerate(counts, first):
        low = edges[level]
        high = max(low, min(edges[level + 1], feature.max_activation))
        if low >= threshold:
            total += cells
        elif high > threshold:
            total += cells * (high - threshold) / (high - low)
    return total


def random_cells(reader: StoredCrops, count: int, seed: int) -> list[CropEvidence]:
    """Return random cells of the layer, of stored pictures of the score split; the same for every call.

    Each picture gives one cell, and more only where there are fewer pictures than cells.
    """
    if not reader.placed:
        return []
    with reader.db.session() as session:
        ids = np.array(queries.crops.image_ids(session, reader.dictionary.id, "score"), np.int64)
    if not len(ids):
        return []
    rng = np.random.default_rng((seed, 4))
    order = np.concatenate([rng.permutation(ids) for _ in range(-(-count // len(ids)))])[:count]
    shown = reader.pictures(sorted({int(image) for image in order}))
    found = []
    for image in order:
        crop = shown[int(image)]
        cell = int(rng.integers(crop.grid[0])), int(rng.integers(crop.grid[1]))
        found.append(marked_at(crop, cell))
    return found

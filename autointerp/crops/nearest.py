"""Hard negatives: images in which a feature is silent and features of like direction fire."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autointerp.crops.best import BestEntries
from autointerp.crops.hashing import strongest_key
from autointerp.crops.maxima import BatchMaxima
from autointerp.crops.ragged import pick, starts_of

MOST_FOLLOWERS = 64
"""Features that have one feature as a neighbour; without this bound a direction that all resemble would be all of
them."""

LEAST_COSINE = 1e-4
"""Cosine above which features are neighbours. Smaller ones are rounding: components of PCA are orthogonal, and the last
digits, which differ between devices, would choose among them."""


@dataclass(frozen=True)
class NearestLatents:
    """The neighbours of every feature: the features whose decoder directions are most like its own.

    `index` int32 and `cosine` float32 are [features, m], the most alike first. A cosine of `LEAST_COSINE` or less marks
    no neighbour.
    """

    index: np.ndarray
    cosine: np.ndarray

    @classmethod
    def none(cls, features: int) -> NearestLatents:
        """Return no neighbours for any feature."""
        return cls(np.zeros((features, 0), np.int32), np.zeros((features, 0), np.float32))


class HardNegatives:
    """The `n` hardest negatives of every feature and split.

    The hardness of an image is the activation of the neighbour in it, times the cosine of the two features.
    """

    def __init__(self, nearest: NearestLatents, n: int) -> None:
        self.nearest = nearest
        features = len(nearest.index)
        self.entries = BestEntries(2 * features, n)
        """Images by feature and split; `cell` holds the neighbour's index, and `activation` the hardness."""
        follower = np.repeat(np.arange(features), nearest.index.shape[1])
        leader, cosine = nearest.index.reshape(-1).astype(np.int64), nearest.cosine.reshape(-1)
        order = np.lexsort((follower, -cosine, leader))
        order = order[cosine[order] > LEAST_COSINE]
        leader = leader[order]
        order = order[np.arange(len(leader)) - np.searchsorted(leader, leader) < MOST_FOLLOWERS]
        self._follower, self._cosine = follower[order], cosine[order]
        self._count = np.bincount(nearest.index.reshape(-1)[order], minlength=features)
        self._start = starts_of(self._count)

    def update(self, maxima: BatchMaxima, side: np.ndarray) -> None:
        """Add a batch; `side` int64 [n] is the split of each entry's image."""
        count = self._count[maxima.feature]
        at = pick(self._start[maxima.feature], count)
        entry = np.repeat(np.arange(len(maxima.feature)), count)
        feature, image = self._follower[at], maxima.image[entry]
        hardness = self._cosine[at] * maxima.activation[entry]
        key = strongest_key(hardness, image)
        group = feature * 2 + side[entry]
        fits = self.entries.fits(group, key)
        feature, image, entry, key, group, hardness = (x[fits] for x in (feature, image, entry, key, group, hardness))
        place, fired = np.searchsorted(maxima.images, image), np.searchsorted(maxima.images, maxima.image)
        size = len(maxima.images)
        silent = ~np.isin(feature * size + place, maxima.feature * size + fired)
        leader = maxima.feature[entry]
        order = np.lexsort((leader, key, image, feature))
        order = order[silent[order]]
        # Where several neighbours fire in an image, the hardest counts.
        first = np.ones(len(order), bool)
        first[1:] = (np.diff(feature[order]) != 0) | (np.diff(image[order]) != 0)
        order = order[first]
        self.entries.offer(
            {
                "group": group[order],
                "key": key[order],
                "image": image[order],
                "activation": hardness[order],
                "cell": leader[order],
            }
        )

"""A sample of every feature's active cells: images are drawn in proportion to the number of their active cells.

A cell is active where the feature is above `ACTIVE_SHARE` of its maximum. Strongest crops show a feature's peaks, which
are not like its other cells. This sample is of all active cells alike, and the probability of each image is known.

An image of n active cells gets the priority hash / n, and the images of least priority are kept (priority sampling,
Duffield, Lund and Thorup 2007). The maximum, and with it the threshold, is known only at the end. So there is a sample
for each level of activation, in half octaves, that may yet be the threshold's; levels fall out as the maximum rises. At
the end the level at or just below the threshold counts. What is kept depends on the set of images alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autointerp.crops.best import MOST_KEY, first_of_groups, ranks_of
from autointerp.crops.kept import MAPS, PLACE, Fields, KeptEntries
from autointerp.crops.maps import to_half
from autointerp.crops.reading import levels_of
from autointerp.crops.records import ACTIVE_SHARE

_WINDOW = 5
"""Levels from that of the threshold to that of the maximum: a quarter is four half octaves."""
_COUNTS = tuple(f"count{slot}" for slot in range(_WINDOW))
_UNIT = 2.0**32
"""Hashes are below this."""


def active_above(maximum: npt.ArrayLike) -> np.ndarray:
    """Return the value that a feature's activation, as a map holds it, exceeds in active cells: float32.

    Args:
        maximum: The feature's maximum over all cells that were harvested, float32 [...].
    """
    return np.float32(ACTIVE_SHARE) * to_half(np.asarray(maximum, np.float32)).astype(np.float32)


class DrawnImages(NamedTuple):
    """The sampled images of all features and splits: positions in `ActiveSample.fields`, with the probability of each.

    `entry` is int64 [n], by group; `probability` is float64 [n].
    """

    entry: np.ndarray
    probability: np.ndarray


class ActiveSample(KeptEntries):
    """Samples of `n` images for each feature and split, with the maps of the images.

    The group of an entry is 2 * feature + split, and its key is the hash of feature and image, then the image. `first`
    is the level of the threshold when the entry was last sorted in, and `count0` to `count4` are the numbers of its
    cells on that level and the following ones, or above.

    Args:
        features: Number of features.
        n: Images of each feature and split.
    """

    def __init__(self, features: int, n: int) -> None:
        fields = {**PLACE, "first": np.int32, **dict.fromkeys(_COUNTS, np.int32)}
        super().__init__(fields, MAPS, patience=2 * features * n // 4)
        self.n = n
        self._first = np.zeros(features, np.int64)
        """Level of the threshold of each feature, by its maximum so far."""
        self._limit_first = self._first.copy()
        self._limit = np.full((2 * features, _WINDOW), MOST_KEY)
        """Priority of the last image of each full sample, by group and level, counted from `_limit_first`."""
        self._loosest = self._limit.copy()
        """The largest limit of a level and those below it."""

    def raise_to(self, maximum: np.ndarray) -> None:
        """Take in the maximum of every feature so far, float32 [features]; it has to come before what reaches it."""
        self._first = np.where(maximum > 0, levels_of(active_above(maximum)), 0)

    def may_fit(self, group: np.ndarray, key: np.ndarray, activation: np.ndarray, active: np.ndarray) -> np.ndarray:
        """Return which images may yet be kept, by what is known without their maps, bool [n].

        Args:
            group: 2 * feature + split, int64 [n].
            key: The key of feature and image, uint64 [n].
            activation: The maximum in the image, float32 [n].
            active: Cells of any activation, int64 [n].
        """
        if not self.n:
            return np.zeros(len(group), bool)
        level = levels_of(to_half(activation).astype(np.float32)) - self._limit_first[group // 2]
        limit = self._loosest[group, np.clip(level, 0, _WINDOW - 1)]
        may: np.ndarray = (level >= _WINDOW) | ((level >= 0) & (_priority(key, active) <= limit))
        return may

    def offer_maps(self, fields: Fields, maps: Fields) -> None:
        """Offer images with their maps, which lie end to end; each has at least one cell."""
        if not self.n or not len(fields["group"]):
            return
        first = self._first[fields["group"] // 2]
        entry = np.repeat(np.arange(len(first)), fields["length"])
        above = levels_of(maps["values"].astype(np.float32)) - first[entry]
        on = above >= 0
        # No cell is above the maximum that was taken in, so none lies above the window.
        counts = np.bincount(entry[on] * _WINDOW + above[on], minlength=_WINDOW * len(first)).reshape(-1, _WINDOW)
        counts = counts[:, ::-1].cumsum(1)[:, ::-1]
        self.offer({**fields, "first": first, **dict(zip(_COUNTS, counts.T, strict=True))}, maps)

    def fitting(self, fields: Fields) -> np.ndarray:
        """Return which images are among the least priorities of some level, or may be."""
        group = fields["group"]
        fits = np.zeros(len(group), bool)
        for slot, name in enumerate(_COUNTS):
            at = fields["first"] + slot - self._limit_first[group // 2]
            limit = np.where(at < _WINDOW, self._limit[group, np.clip(at, 0, _WINDOW - 1)], MOST_KEY)
            fits |= (fields[name] > 0) & (at >= 0) & (_priority(fields["key"], fields[name]) <= limit)
        return fits

    def chosen(self, fields: dict[str, np.ndarray]) -> np.ndarray:
        """Return the images that stay for some level, and note the limit of each level.

        One more image than `n` stays for each level, because the probabilities follow from its priority.
        """
        group, key = fields["group"], fields["key"]
        self._move_up(fields)
        self._limit_first, self._limit = self._first.copy(), np.full_like(self._limit, MOST_KEY)
        stays = np.zeros(len(group), bool)
        for slot, name in enumerate(_COUNTS):
            here = np.flatnonzero(fields[name])
            priority = _priority(key[here], fields[name][here])
            best = first_of_groups(group[here], priority, self.n + 1)
            stays[here[best]] = True
            last = best[ranks_of(group[here[best]]) == self.n]
            self._limit[group[here[last]], slot] = priority[last]
        self._loosest = np.maximum.accumulate(self._limit, axis=1)
        order = np.flatnonzero(stays)
        return order[np.lexsort((key[order], group[order]))]

    def _move_up(self, fields: dict[str, np.ndarray]) -> None:
        """Count every entry's cells from the present level of its feature's threshold on."""
        first = self._first[fields["group"] // 2]
        shift = first - fields["first"]
        counts = np.stack([fields[name] for name in _COUNTS] + [np.zeros(len(shift), np.int32)])
        for slot, name in enumerate(_COUNTS):
            fields[name] = counts[np.minimum(shift + slot, _WINDOW), np.arange(len(shift))]
        fields["first"] = first.astype(np.int32)

    def drawn(self, maximum: np.ndarray) -> DrawnImages:
        """Return the samples, given the maximum of every feature over all images, float32 [features]."""
        self.settle()
        self.compact()
        count = self.fields["count0"]
        here = np.flatnonzero(count)
        group = self.fields["group"][here]
        priority = _priority(self.fields["key"][here], count[here])
        best = first_of_groups(group, priority, self.n + 1)
        rank = ranks_of(group[best])
        # The first image that is left out of a sample sets the probabilities of those in it. Where none is, all are in.
        limit = np.full(len(self._limit), np.inf)
        out = best[rank == self.n]
        limit[group[out]] = _shares(priority[out])
        sample = best[rank < self.n]
        probability = np.minimum(1.0, count[here[sample]] * limit[group[sample]])
        # Cells between the level and the threshold count for the draw; an image of such cells alone is not active.
        strongest = to_half(self.fields["activation"][here[sample]]).astype(np.float32)
        active = strongest > active_above(maximum)[group[sample] // 2]
        return DrawnImages(here[sample[active]], probability[active])


def _priority(key: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return what images are sorted by, uint64 [n]: their hash divided by the number of their cells, then the image."""
    # Division and rounding of floats are the same on every machine, and positive floats have the order of their bits.
    share = ((key >> np.uint64(32)).astype(np.float64) / np.maximum(count, 1)).astype(np.float32)
    return (share.view(np.uint32).astype(np.uint64) << np.uint64(32)) | (key & np.uint64(2**32 - 1))


def _shares(priority: np.ndarray) -> np.ndarray:
    """Return the share of all hashes that each priority means for an image of one cell, float64 [n]."""
    return (priority >> np.uint64(32)).astype(np.uint32).view(np.float32).astype(np.float64) / _UNIT

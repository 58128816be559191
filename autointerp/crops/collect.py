"""The collector of a harvest: the crops of each feature over a stream of images, exact and bounded in memory.

All that is kept is a function of the set of images, never of their order: the best crops by activation, the random ones
by a hash of (seed, feature, image), the sums as integers. So shards merge to the rows of one run, and a run that was
killed ends in the rows that it would have had.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from autointerp.crops.best import BestEntries
from autointerp.crops.hashing import drawn_key, hashed, strongest_key
from autointerp.crops.kept import MAPS, KeptEntries
from autointerp.crops.levels import LEVELS
from autointerp.crops.maps import pack_map
from autointerp.crops.maxima import BatchMaxima, combine, reduce_read, sample_cells
from autointerp.crops.nearest import HardNegatives, NearestLatents
from autointerp.crops.random_cells import RandomCells
from autointerp.crops.reading import SUM_SCALE, read_code
from autointerp.crops.records import CropRow, FeatureStats, Quota, RandomCell, Reduced, Role
from autointerp.crops.sample import ActiveSample
from autointerp.crops.split import SPLITS, Split
from autointerp.crops.together import LATENTS_A_CELL, CellSample

if TYPE_CHECKING:
    import torch

    from autointerp.dictionaries.protocol import SparseCode

QUANTILES = 10
POOL = 16
"""Candidate images for each negative of a feature; most features are silent on many of them."""
NEIGHBOURS = 8
"""Features that are noted of each feature, of those that fire with it most."""


class CropCollector:
    """A collector of each feature's crops over a stream of batches.

    For every batch, `reduce` the code of each step as it comes, then `update` with the results.

    Args:
        num_features: Size of the dictionary.
        quota: How much is kept.
        seed: Seed of the random draws.
        nearest: Neighbours, from which hard negatives come; none if None.
    """

    def __init__(self, num_features: int, quota: Quota, seed: int, nearest: NearestLatents | None = None) -> None:
        self.num_features, self.quota, self.seed = num_features, quota, seed
        self.images_seen = self.cells_seen = 0
        self._best = BestEntries(2 * num_features, quota.top, MAPS)
        self._drawn = BestEntries(2 * num_features, quota.reservoir, MAPS)
        # Some hard negatives may be among the random ones too, so more of them are kept.
        self._hard = HardNegatives(
            nearest or NearestLatents.none(num_features), quota.hard + quota.negatives if quota.hard else 0
        )
        self._cells = CellSample(quota.cells, seed)
        self._sample = ActiveSample(num_features, quota.sample)
        self._random = RandomCells(quota.random_cells, seed)
        self._active, self._total = np.zeros(num_features, np.int64), np.zeros(num_features, np.int64)
        self._fired_in, self._maximum = np.zeros(num_features, np.int64), np.zeros(num_features, np.float32)
        self._levels = np.zeros(num_features * LEVELS, np.int64)
        self._by_step: dict[int, np.ndarray] = {}
        self._pool: dict[str, np.ndarray] = {
            "image": np.zeros(0, np.int64),
            "key": np.zeros(0, np.uint64),
            "split": np.zeros(0, np.int64),
            "fired": np.zeros((0, (num_features + 7) // 8), np.uint8),
        }

    def fresh(self) -> CropCollector:
        """Return an empty collector of the same settings."""
        return CropCollector(self.num_features, self.quota, self.seed, self._hard.nearest)

    def reduce(
        self,
        code: SparseCode,
        images: Sequence[int],
        splits: Sequence[Split],
        grid: tuple[int, int],
        step: int,
        fullest: torch.Tensor | None = None,
        counted: np.ndarray | None = None,
    ) -> Reduced:
        """Reduce the code of one step of a batch to the part that may yet be kept, for `update`.

        Args:
            code: acts and indices [len(images) * rows * cols, k], images after each other, cells row by row.
            images: Index of each image of the batch, all different.
            splits: The split of each image.
            grid: (rows, cols).
            step: 0-based denoising step.
            fullest: Number of latents that fire in the fullest row, where the code may be too narrow for them.
            counted: The cells that count, bool [len(images), rows * cols]; nothing fires in the others. All if None.

        Raises:
            NarrowCodeError: The code is too narrow.
            ValueError: The code does not fit such a batch.
        """
        if len(splits) != len(images):
            raise ValueError(f"{len(splits)} splits for {len(images)} images")
        index = np.asarray(images, np.int64)
        order = np.argsort(index)
        side = np.array([SPLITS.index(split) for split in splits], np.int64)[order]

        def keep(feature: np.ndarray, image: np.ndarray, activation: np.ndarray, active: np.ndarray) -> np.ndarray:
            group = feature * 2 + side[np.searchsorted(index[order], image)]
            drawn = drawn_key(self.seed, feature, image)
            top = self._best.fits(group, strongest_key(activation, image))
            # An image is drawn whatever its activation, so every step of the image counts.
            even = self._drawn.fits(group, drawn)
            return np.asarray(top | even | self._sample.may_fit(group, drawn, activation, active))

        cells = grid[0] * grid[1]
        read = read_code(code, len(images), cells, self.num_features, fullest)
        maxima = reduce_read(read, images, grid, step, keep)
        if counted is not None:
            maxima = replace(maxima, cells_seen=int(counted.sum()))
        random = self._random.choose(index[order], side, grid, step, None if counted is None else counted[order])
        if not self.quota.cells:
            return Reduced(maxima, side, None, random)
        rows, key = self._cells.choose(index, cells, step, counted)
        sampled = sample_cells(read, rows, index[rows // cells], step, rows % cells, key, LATENTS_A_CELL)
        return Reduced(maxima, side, sampled, random)

    def update(self, parts: Sequence[Reduced]) -> None:
        """Add a batch, given the results of `reduce` for all of its steps at once; an image may come only once.

        Raises:
            ValueError: The parts are not of the same images, or there is none.
        """
        maxima = combine([part.maxima for part in parts])
        for part in parts:
            if len(part.maxima.step):
                step = int(part.maxima.step[0])
                totals = self._by_step.setdefault(step, np.zeros(self.num_features, np.int64))
                np.add.at(totals, part.maxima.feature, part.maxima.total)
            if part.sampled is not None:
                self._cells.update(part.sampled)
            self._random.update(part.random)
        self.images_seen += len(maxima.images)
        self.cells_seen += maxima.cells_seen
        side = parts[0].side
        place = np.searchsorted(maxima.images, maxima.image)
        np.add.at(self._active, maxima.feature, maxima.active)
        np.add.at(self._total, maxima.feature, maxima.total)
        np.add.at(self._fired_in, maxima.feature, 1)
        np.maximum.at(self._maximum, maxima.feature, maxima.activation)
        np.add.at(self._levels, maxima.level, maxima.at_level)
        self._sample.raise_to(self._maximum)
        self._offer(maxima, side[place])
        self._hard.update(maxima, side[place])
        self._pool_update(maxima, side, place)

    def _offer(self, maxima: BatchMaxima, side: np.ndarray) -> None:
        """Offer the entries that came with their maps; `side` is the split of each entry's image."""
        may = np.flatnonzero(maxima.length)
        names = ("image", "activation", "step", "cell", "length")
        entries = {name: getattr(maxima, name)[may] for name in names}
        entries["group"] = maxima.feature[may] * 2 + side[may]
        for name, extent in zip(("rows", "cols"), maxima.grid, strict=True):
            entries[name] = np.full(len(may), extent, np.int32)
        maps = {"cells": maxima.cells, "values": maxima.values}
        self._best.offer({**entries, "key": strongest_key(entries["activation"], entries["image"])}, maps)
        drawn = {**entries, "key": drawn_key(self.seed, maxima.feature[may], entries["image"])}
        self._drawn.offer(drawn, maps)
        # The same hashes draw both, so that more images serve for both.
        self._sample.offer_maps(drawn, maps)

    def _pool_update(self, maxima: BatchMaxima, side: np.ndarray, place: np.ndarray) -> None:
        key = hashed(self.seed, np.zeros_like(maxima.images), maxima.images)
        fired = np.zeros((len(maxima.images), self.num_features), bool)
        fired[place, maxima.feature] = True
        self._pool_take({"image": maxima.images, "key": key, "split": side, "fired": np.packbits(fired, axis=1)})

    def _pool_take(self, more: dict[str, np.ndarray]) -> None:
        """Keep, of each split, the images of smallest hash as candidates for negatives."""
        joined = {name: np.concatenate([self._pool[name], more[name]]) for name in self._pool}
        order = np.lexsort((joined["image"], joined["key"], joined["split"]))
        split = joined["split"][order]
        order = order[np.arange(len(split)) - np.searchsorted(split, split) < POOL * self.quota.negatives]
        self._pool = {name: array[order] for name, array in joined.items()}

    def merge(self, other: CropCollector) -> None:
        """Add what another collector of the same settings kept of other images.

        Raises:
            ValueError: The settings differ.
        """
        if not np.array_equal(self._settings(), other._settings()):
            raise ValueError("collectors of different settings do not merge")
        self.images_seen += other.images_seen
        self.cells_seen += other.cells_seen
        self._active += other._active
        self._total += other._total
        self._fired_in += other._fired_in
        self._levels += other._levels
        np.maximum(self._maximum, other._maximum, out=self._maximum)
        self._sample.raise_to(self._maximum)
        for step, totals in other._by_step.items():
            self._by_step[step] = self._by_step.get(step, 0) + totals
        for mine, theirs in zip(self._kept().values(), other._kept().values(), strict=True):
            mine.merge(theirs)
        self._pool_take(other._pool)

    def _kept(self) -> dict[str, KeptEntries]:
        """Return all kept entries, by their names in `state`."""
        return {
            "best": self._best,
            "drawn": self._drawn,
            "hard": self._hard.entries,
            "sample": self._cells.entries,
            "active": self._sample,
            "random": self._random.entries,
        }

    def settle(self) -> None:
        """Sort in all candidates that wait, so that memory holds kept entries alone."""
        for entries in self._kept().values():
            entries.settle()

    def pictures_wanted(self) -> set[int]:
        """Return the images that a crop or random cell refers to, or yet may refer to."""
        self.settle()
        kept = [self._pool["image"]]
        kept += [entries.fields["image"] for name, entries in self._kept().items() if name != "sample"]
        return set(np.unique(np.concatenate(kept)).tolist())

    def stats(self) -> FeatureStats:
        """Return the figures of every feature."""
        whole = np.maximum(self._total, 1)
        return FeatureStats(
            density=self._active / max(self.cells_seen, 1),
            mean=self._total / SUM_SCALE / np.maximum(self._active, 1),
            maximum=self._maximum.copy(),
            images=self._fired_in.copy(),
            histogram=self._levels.reshape(self.num_features, LEVELS).copy(),
            steps={step: totals / whole for step, totals in sorted(self._by_step.items())},
            neighbours=self._cells.neighbours(self.num_features, NEIGHBOURS),
        )

    def rows(self) -> Iterator[CropRow]:
        """Yield every crop to be stored, by feature, split, role and rank; a feature that never fired has none."""
        self.settle()
        top, drawn, hard = self._best.fields, self._drawn.fields, self._hard.entries.fields
        sample = self._sample.drawn(self._maximum)
        span = 1 + max((int(f["image"].max()) for f in (top, drawn, self._sample.fields) if len(f["image"])), default=0)
        in_top, in_drawn = (f["group"] * span + f["image"] for f in (top, drawn))
        in_sample = (self._sample.fields["group"] * span + self._sample.fields["image"])[sample.entry]
        chances = dict(zip(in_sample.tolist(), sample.probability.tolist(), strict=True))
        # An image may be both a top and a drawn crop. Then it counts as a top crop.
        extra = _by_strength(drawn, np.flatnonzero(~np.isin(in_drawn, in_top)))
        alone = _by_strength(
            self._sample.fields, sample.entry[~np.isin(in_sample, in_top) & ~np.isin(in_sample, in_drawn)]
        )
        groups = np.arange(2 * self.num_features + 1)
        top_at = np.searchsorted(top["group"], groups).tolist()
        extra_at = np.searchsorted(drawn["group"][extra], groups).tolist()
        alone_at = np.searchsorted(self._sample.fields["group"][alone], groups).tolist()
        hard_at = np.searchsorted(hard["group"], groups).tolist()
        fired = np.unpackbits(self._pool["fired"], axis=1, count=self.num_features).astype(bool)
        sides = [np.flatnonzero(self._pool["split"] == side) for side in (0, 1)]
        for feature in np.flatnonzero(self._fired_in).tolist():
            for side, split in enumerate(SPLITS):
                group = 2 * feature + side
                firing: list[tuple[KeptEntries, Role, list[int]]] = [
                    (self._best, "top", list(range(top_at[group], top_at[group + 1]))),
                    (self._drawn, "quantile", extra[extra_at[group] : extra_at[group + 1]].tolist()),
                    (self._sample, "quantile", alone[alone_at[group] : alone_at[group + 1]].tolist()),
                ]
                ranks = {role: count(0) for _, role, _ in firing}
                for entries, role, positions in firing:
                    for i in positions:
                        row = self._row(entries, i, role, next(ranks[role]))
                        yield row._replace(sample_probability=chances.get(group * span + row.image))
                silent = sides[side][~fired[sides[side], feature]][: self.quota.negatives]
                images = self._pool["image"][silent].tolist()
                for rank, image in enumerate(images):
                    yield CropRow(feature, image, split, "negative", rank, 0.0)
                here = range(hard_at[group], hard_at[group + 1])
                harder = [i for i in here if int(hard["image"][i]) not in images][: self.quota.hard]
                for rank, i in enumerate(harder, len(images)):
                    neighbour = int(hard["cell"][i])
                    image = int(hard["image"][i])
                    yield CropRow(feature, image, split, "negative", rank, 0.0, neighbour=neighbour)

    def random_cells(self) -> Iterator[RandomCell]:
        """Yield the cells of the layer that were drawn at random, of each split in a random order."""
        return self._random.rows()

    def _row(self, entries: KeptEntries, i: int, role: Role, rank: int) -> CropRow:
        fields = entries.fields
        feature, side = divmod(int(fields["group"][i]), 2)
        activation = float(fields["activation"][i])
        quantile = None
        if entries is self._drawn:
            quantile = min(int(QUANTILES * (activation / float(self._maximum[feature]))), QUANTILES - 1)
        begin = int(entries.starts[i])
        end = begin + int(fields["length"][i])
        grid = int(fields["rows"][i]), int(fields["cols"][i])
        packed = pack_map(entries.items["cells"][begin:end], entries.items["values"][begin:end], grid)
        row, col = divmod(int(fields["cell"][i]), grid[1])
        image, step = int(fields["image"][i]), int(fields["step"][i])
        return CropRow(feature, image, SPLITS[side], role, rank, activation, step, row, col, grid, quantile, packed)

    def _settings(self) -> np.ndarray:
        return np.array([self.num_features, self.seed, *asdict(self.quota).values()], np.int64)

    def state(self) -> dict[str, np.ndarray]:
        """Return all that is kept, for `from_state`; the arrays are valid until the next update."""
        counts = np.array([self.images_seen, self.cells_seen], np.int64)
        own = {"settings": self._settings(), "counts": counts, "active": self._active, "total": self._total}
        own |= {"fired_in": self._fired_in, "maximum": self._maximum, "levels": self._levels}
        own |= {f"by_step.{step}": totals for step, totals in sorted(self._by_step.items())}
        own |= {"nearest.index": self._hard.nearest.index, "nearest.cosine": self._hard.nearest.cosine}
        own |= {f"pool.{name}": array for name, array in self._pool.items()}
        for name, entries in self._kept().items():
            own |= entries.state(name)
        return own

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> CropCollector:
        """Make the collector that `state` was called on."""
        num_features, seed, *quota = (int(v) for v in state["settings"])
        nearest = NearestLatents(state["nearest.index"], state["nearest.cosine"])
        collector = cls(num_features, Quota(*quota), seed, nearest)
        collector.images_seen, collector.cells_seen = (int(v) for v in state["counts"])
        collector._active, collector._total = state["active"].copy(), state["total"].copy()
        collector._fired_in, collector._maximum = state["fired_in"].copy(), state["maximum"].copy()
        collector._levels = state["levels"].copy()
        collector._sample.raise_to(collector._maximum)
        steps = [name for name in state if name.startswith("by_step.")]
        collector._by_step = {int(name.partition(".")[2]): state[name].copy() for name in steps}
        collector._pool = {name: state[f"pool.{name}"].copy() for name in collector._pool}
        for name, entries in collector._kept().items():
            entries.restore(name, state)
        return collector


def _by_strength(fields: Mapping[str, np.ndarray], entries: np.ndarray) -> np.ndarray:
    """Return positions of entries sorted by group, then the strongest first, of equal ones by image."""
    order = np.lexsort((fields["image"][entries], -fields["activation"][entries], fields["group"][entries]))
    return entries[order]

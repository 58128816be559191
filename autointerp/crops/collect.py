"""What a harvest keeps of a stream of images: exact, bounded by features x crops, and whole after any restart.

Everything kept is a function of the set of images seen, never of their order: the best crops by activation, the
random ones by a hash of (seed, feature, image), the sums as integers. So shards merge to the rows of one run, and a
run that was killed ends in the rows it would have had.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from autointerp.crops.best import MAPS, BestEntries
from autointerp.crops.hashing import drawn_key, hashed, strongest_key
from autointerp.crops.maps import pack_map
from autointerp.crops.maxima import LEVELS, SUM_SCALE, BatchMaxima, SampledCells, combine, reduce_batch, sample_cells
from autointerp.crops.nearest import HardNegatives, Nearest
from autointerp.crops.split import SPLITS, Split
from autointerp.crops.together import LATENTS_A_CELL, CellSample

if TYPE_CHECKING:
    from autointerp.dictionaries.protocol import SparseCode

QUANTILES = 10
POOL = 16
"""Images that may become negatives, for each negative a feature gets: most features are silent on many of them."""
NEIGHBOURS = 8
"""Features that fire with a feature, noted of each."""

Role = Literal["top", "quantile", "negative"]


@dataclass(frozen=True)
class Quota:
    """How much is kept, each a feature and split: `top` crops of highest activation, a `reservoir` of crops drawn
    evenly from all images where it fires, `negatives` at random and `hard` ones. `cells` in all are sampled to know
    what fires together.
    """

    top: int
    reservoir: int
    negatives: int
    hard: int = 0
    cells: int = 0


class CropRow(NamedTuple):
    """A crop to be stored.

    `rank` counts from 0 within feature, split and role: by activation, for negatives in a random order that is the
    same for all features, the hard ones behind. `quantile` is the tenth of the feature's range of activation that a
    quantile crop lies in. A negative has activation 0 and no step, cell or map; a hard one names its `neighbour`, the
    feature that fires there.
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


@dataclass(frozen=True)
class FeatureStats:
    """Figures over every cell of every image and step seen, one entry a feature.

    `density` float64: share of cells where it is active. `mean` float64: mean activation there (0 if nowhere).
    `maximum` float32. `images` int64: images in which it is active at all. `histogram` int64 [features, LEVELS]:
    cells by activation, see `maxima.level_edges`. `steps` float64 by step: its share of a feature's activation.
    `neighbours`: of each feature those that fire with it most, with the Jaccard index of their cells.
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
    """What a collector may yet keep of one step of a batch; `side` int64 is the split of each of `maxima.images`."""

    maxima: BatchMaxima
    side: np.ndarray
    sampled: SampledCells | None


class CropCollector:
    """Keeps each feature's crops over a stream of batches.

    Of every batch: `reduce` each step's code as it comes, then `update` with what that gave.

    Args:
        num_features: Size of the dictionary.
        quota: How much is kept.
        seed: Of what is random.
        nearest: The features that hard negatives come from; none if None.
    """

    def __init__(self, num_features: int, quota: Quota, seed: int, nearest: Nearest | None = None) -> None:
        self.num_features, self.quota, self.seed = num_features, quota, seed
        self.images_seen = self.cells_seen = 0
        self._best = BestEntries(2 * num_features, quota.top, MAPS)
        self._drawn = BestEntries(2 * num_features, quota.reservoir, MAPS)
        # Some of the hardest may be among the random ones too.
        self._hard = HardNegatives(
            nearest or Nearest.none(num_features), quota.hard + quota.negatives if quota.hard else 0
        )
        self._cells = CellSample(quota.cells, seed)
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
        """A collector of the same settings that has seen nothing."""
        return CropCollector(self.num_features, self.quota, self.seed, self._hard.nearest)

    def reduce(
        self, code: SparseCode, images: Sequence[int], splits: Sequence[Split], grid: tuple[int, int], step: int
    ) -> Reduced:
        """Reduce one step's code of a batch to what may yet be kept; for `update`.

        Args:
            code: acts and indices [len(images) * rows * cols, k], images after each other, cells row by row.
            images: Index of each image of the batch, all different.
            splits: The split of each image.
            grid: (rows, cols).
            step: 0-based denoising step.

        Raises:
            ValueError: The code is not that of such a batch.
        """
        if len(splits) != len(images):
            raise ValueError(f"{len(splits)} splits for {len(images)} images")
        index = np.asarray(images, np.int64)
        order = np.argsort(index)
        side = np.array([SPLITS.index(split) for split in splits], np.int64)[order]

        def keep(feature: np.ndarray, image: np.ndarray, activation: np.ndarray) -> np.ndarray:
            group = feature * 2 + side[np.searchsorted(index[order], image)]
            top = self._best.fits(group, strongest_key(activation, image))
            # An image is drawn whatever its activation, so every step of it counts.
            return np.asarray(top | self._drawn.fits(group, drawn_key(self.seed, feature, image)))

        maxima = reduce_batch(code, images, grid, step, self.num_features, keep)
        if not self.quota.cells:
            return Reduced(maxima, side, None)
        cells = grid[0] * grid[1]
        rows, key = self._cells.choose(index, cells, step)
        sampled = sample_cells(code, rows, index[rows // cells], step, rows % cells, key, LATENTS_A_CELL)
        return Reduced(maxima, side, sampled)

    def update(self, parts: Sequence[Reduced]) -> None:
        """Take in a batch: what `reduce` gave of all its steps at once, for an image may come only once.

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
        self.images_seen += len(maxima.images)
        self.cells_seen += maxima.cells_seen
        side = parts[0].side
        place = np.searchsorted(maxima.images, maxima.image)
        np.add.at(self._active, maxima.feature, maxima.active)
        np.add.at(self._total, maxima.feature, maxima.total)
        np.add.at(self._fired_in, maxima.feature, 1)
        np.maximum.at(self._maximum, maxima.feature, maxima.activation)
        np.add.at(self._levels, maxima.level, maxima.at_level)
        self._offer(maxima, side[place])
        self._hard.update(maxima, side[place])
        self._pool_update(maxima, side, place)

    def _offer(self, maxima: BatchMaxima, side: np.ndarray) -> None:
        """Offer what came with its map, each entry's image being of the split `side`."""
        may = np.flatnonzero(maxima.length)
        names = ("image", "activation", "step", "cell", "length")
        entries = {name: getattr(maxima, name)[may] for name in names}
        entries["group"] = maxima.feature[may] * 2 + side[may]
        for name, extent in zip(("rows", "cols"), maxima.grid, strict=True):
            entries[name] = np.full(len(may), extent, np.int32)
        maps = {"cells": maxima.cells, "values": maxima.values}
        self._best.offer({**entries, "key": strongest_key(entries["activation"], entries["image"])}, maps)
        self._drawn.offer({**entries, "key": drawn_key(self.seed, maxima.feature[may], entries["image"])}, maps)

    def _pool_update(self, maxima: BatchMaxima, side: np.ndarray, place: np.ndarray) -> None:
        key = hashed(self.seed, np.zeros_like(maxima.images), maxima.images)
        fired = np.zeros((len(maxima.images), self.num_features), bool)
        fired[place, maxima.feature] = True
        self._pool_take({"image": maxima.images, "key": key, "split": side, "fired": np.packbits(fired, axis=1)})

    def _pool_take(self, more: dict[str, np.ndarray]) -> None:
        """Keep the images of smallest hash of each split."""
        joined = {name: np.concatenate([self._pool[name], more[name]]) for name in self._pool}
        order = np.lexsort((joined["image"], joined["key"], joined["split"]))
        split = joined["split"][order]
        order = order[np.arange(len(split)) - np.searchsorted(split, split) < POOL * self.quota.negatives]
        self._pool = {name: array[order] for name, array in joined.items()}

    def merge(self, other: CropCollector) -> None:
        """Take in what another collector of the same settings kept of other images.

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
        for step, totals in other._by_step.items():
            self._by_step[step] = self._by_step.get(step, 0) + totals
        for mine, theirs in zip(self._kept().values(), other._kept().values(), strict=True):
            mine.merge(theirs)
        self._pool_take(other._pool)

    def _kept(self) -> dict[str, BestEntries]:
        """What is kept of entries, by its name in `state`."""
        return {"best": self._best, "drawn": self._drawn, "hard": self._hard.entries, "sample": self._cells.entries}

    def settle(self) -> None:
        """Sort in all candidates that wait, so that nothing is held but what is kept."""
        for entries in self._kept().values():
            entries.settle()

    def pictures_wanted(self) -> set[int]:
        """Images that some crop references, or yet may as a negative."""
        self.settle()
        kept = [self._pool["image"]]
        kept += [entries.fields["image"] for entries in (self._best, self._drawn, self._hard.entries)]
        return set(np.unique(np.concatenate(kept)).tolist())

    def stats(self) -> FeatureStats:
        """The figures of every feature."""
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
        """Every crop to be stored, by feature, split, role and rank; a feature that never fired has none."""
        self.settle()
        top, drawn, hard = self._best.fields, self._drawn.fields, self._hard.entries.fields
        span = 1 + max((int(f["image"].max()) for f in (top, drawn) if len(f["image"])), default=0)
        # An image may be both; then it is a top crop.
        extra = ~np.isin(drawn["group"] * span + drawn["image"], top["group"] * span + top["image"])
        extra_order = np.flatnonzero(extra)
        extra_order = extra_order[
            np.lexsort((drawn["image"][extra], -drawn["activation"][extra], drawn["group"][extra]))
        ]
        groups = np.arange(2 * self.num_features + 1)
        top_at = np.searchsorted(top["group"], groups).tolist()
        extra_at = np.searchsorted(drawn["group"][extra_order], groups).tolist()
        hard_at = np.searchsorted(hard["group"], groups).tolist()
        fired = np.unpackbits(self._pool["fired"], axis=1, count=self.num_features).astype(bool)
        sides = [np.flatnonzero(self._pool["split"] == side) for side in (0, 1)]
        for feature in np.flatnonzero(self._fired_in).tolist():
            for side, split in enumerate(SPLITS):
                group = 2 * feature + side
                for rank, i in enumerate(range(top_at[group], top_at[group + 1])):
                    yield self._row(self._best, i, feature, split, "top", rank)
                for rank, i in enumerate(extra_order[extra_at[group] : extra_at[group + 1]].tolist()):
                    yield self._row(self._drawn, i, feature, split, "quantile", rank)
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

    def _row(self, entries: BestEntries, i: int, feature: int, split: Split, role: Role, rank: int) -> CropRow:
        fields = entries.fields
        activation = float(fields["activation"][i])
        quantile = None
        if role == "quantile":
            quantile = min(int(QUANTILES * (activation / float(self._maximum[feature]))), QUANTILES - 1)
        begin = int(entries.starts[i])
        end = begin + int(fields["length"][i])
        grid = int(fields["rows"][i]), int(fields["cols"][i])
        packed = pack_map(entries.items["cells"][begin:end], entries.items["values"][begin:end], grid)
        row, col = divmod(int(fields["cell"][i]), grid[1])
        image, step = int(fields["image"][i]), int(fields["step"][i])
        return CropRow(feature, image, split, role, rank, activation, step, row, col, grid, quantile, packed)

    def _settings(self) -> np.ndarray:
        return np.array([self.num_features, self.seed, *asdict(self.quota).values()], np.int64)

    def state(self) -> dict[str, np.ndarray]:
        """All that is kept, for `from_state`; the arrays are the collector's own until its next update."""
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
        """The collector that `state` was taken from."""
        num_features, seed, *quota = (int(v) for v in state["settings"])
        nearest = Nearest(state["nearest.index"], state["nearest.cosine"])
        collector = cls(num_features, Quota(*quota), seed, nearest)
        collector.images_seen, collector.cells_seen = (int(v) for v in state["counts"])
        collector._active, collector._total = state["active"].copy(), state["total"].copy()
        collector._fired_in, collector._maximum = state["fired_in"].copy(), state["maximum"].copy()
        collector._levels = state["levels"].copy()
        steps = [name for name in state if name.startswith("by_step.")]
        collector._by_step = {int(name.partition(".")[2]): state[name].copy() for name in steps}
        collector._pool = {name: state[f"pool.{name}"].copy() for name in collector._pool}
        for name, entries in collector._kept().items():
            entries.restore(name, state)
        return collector

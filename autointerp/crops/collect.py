"""What a harvest keeps of a stream of images: exact, bounded by features x crops, and whole after any restart.

Everything kept is a function of the set of images seen, never of their order: the best crops by activation, the
random ones by a hash of (seed, feature, image), the sums as integers. So shards merge to the rows of one run, and a
run that was killed ends in the rows it would have had.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from autointerp.crops.best import BestEntries
from autointerp.crops.maps import pack_map
from autointerp.crops.maxima import SUM_SCALE, BatchMaxima
from autointerp.crops.ragged import starts_of
from autointerp.crops.split import SPLITS, Split

QUANTILES = 10
POOL = 16
"""Images that may become negatives, for each negative a feature gets: most features are silent on many of them."""

Role = Literal["top", "quantile", "negative"]


class CropRow(NamedTuple):
    """A crop to be stored.

    `rank` counts from 0 within feature, split and role: by activation, for negatives in a random order that is the
    same for all features. `quantile` is the tenth of the feature's range of activation that a quantile crop lies in.
    A negative has activation 0 and no step, cell or map.
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
    quantile: int | None = None
    activation_map: bytes | None = None


@dataclass(frozen=True)
class FeatureStats:
    """Figures over every cell of every image and step seen, one entry a feature.

    `density` float64: share of cells where it is active. `mean` float64: mean activation there (0 if nowhere).
    `maximum` float32. `images` int64: images in which it is active at all.
    """

    density: np.ndarray
    mean: np.ndarray
    maximum: np.ndarray
    images: np.ndarray


class CropCollector:
    """Keeps each feature's crops over a stream of batches.

    Args:
        num_features: Size of the dictionary.
        top: Crops of highest activation to keep, a feature and split.
        reservoir: Crops drawn evenly from all images where it fires, a feature and split.
        negatives: Images where it is silent, a feature and split.
        seed: Of the random ones.
    """

    def __init__(self, num_features: int, top: int, reservoir: int, negatives: int, seed: int) -> None:
        self.num_features, self.top, self.reservoir, self.negatives = num_features, top, reservoir, negatives
        self.seed = seed
        self.grid = (0, 0)
        self.images_seen = self.cells_seen = 0
        self._best = BestEntries(2 * num_features, top)
        self._drawn = BestEntries(2 * num_features, reservoir)
        self._active, self._total = np.zeros(num_features, np.int64), np.zeros(num_features, np.int64)
        self._fired_in, self._maximum = np.zeros(num_features, np.int64), np.zeros(num_features, np.float32)
        self._pool: dict[str, np.ndarray] = {
            "image": np.zeros(0, np.int64),
            "priority": np.zeros(0, np.uint64),
            "split": np.zeros(0, np.int64),
            "fired": np.zeros((0, (num_features + 7) // 8), np.uint8),
        }

    def update(self, maxima: BatchMaxima, splits: Sequence[Split]) -> None:
        """Take in a batch: all steps of it at once (`combine`), for an image may come only once.

        Args:
            maxima: What fired.
            splits: The split of each of `maxima.images`, in that order.

        Raises:
            ValueError: Another grid than before, or not one split an image.
        """
        if self.images_seen and maxima.grid != self.grid:
            raise ValueError(f"a grid of {maxima.grid} after one of {self.grid}")
        if len(splits) != len(maxima.images):
            raise ValueError(f"{len(splits)} splits for {len(maxima.images)} images")
        self.grid = maxima.grid
        self.images_seen += len(maxima.images)
        self.cells_seen += maxima.cells_seen
        side = np.array([SPLITS.index(split) for split in splits], np.int64)
        place = np.searchsorted(maxima.images, maxima.image)
        np.add.at(self._active, maxima.feature, maxima.active)
        np.add.at(self._total, maxima.feature, maxima.total)
        np.add.at(self._fired_in, maxima.feature, 1)
        np.maximum.at(self._maximum, maxima.feature, maxima.activation)
        entries = {
            "group": maxima.feature * 2 + side[place],
            "image": maxima.image,
            "activation": maxima.activation,
            "step": maxima.step,
            "cell": maxima.cell,
            "length": maxima.length,
        }
        # The bits of positive floats are in the order of the floats: inverted, the largest comes first.
        bits = maxima.activation.view(np.uint32).astype(np.uint64)
        self._best.offer({**entries, "priority": np.uint64(2**32 - 1) - bits}, maxima.cells, maxima.values)
        drawn = _hash(self.seed, maxima.feature + 1, maxima.image)
        self._drawn.offer({**entries, "priority": drawn}, maxima.cells, maxima.values)
        self._pool_update(maxima, side, place)

    def _pool_update(self, maxima: BatchMaxima, side: np.ndarray, place: np.ndarray) -> None:
        priority = _hash(self.seed, np.zeros_like(maxima.images), maxima.images)
        fired = np.zeros((len(maxima.images), self.num_features), bool)
        fired[place, maxima.feature] = True
        self._pool_take(
            {"image": maxima.images, "priority": priority, "split": side, "fired": np.packbits(fired, axis=1)}
        )

    def _pool_take(self, more: dict[str, np.ndarray]) -> None:
        """Keep the images of smallest hash of each split."""
        joined = {name: np.concatenate([self._pool[name], more[name]]) for name in self._pool}
        order = np.lexsort((joined["image"], joined["priority"], joined["split"]))
        split = joined["split"][order]
        order = order[np.arange(len(split)) - np.searchsorted(split, split) < POOL * self.negatives]
        self._pool = {name: array[order] for name, array in joined.items()}

    def merge(self, other: CropCollector) -> None:
        """Take in what another collector of the same settings kept of other images.

        Raises:
            ValueError: The settings or grids differ.
        """
        if not np.array_equal(self._settings(), other._settings()):
            raise ValueError("collectors of different settings do not merge")
        if self.images_seen and other.images_seen and self.grid != other.grid:
            raise ValueError(f"a grid of {other.grid} after one of {self.grid}")
        self.grid = self.grid if self.images_seen else other.grid
        self.images_seen += other.images_seen
        self.cells_seen += other.cells_seen
        self._active += other._active
        self._total += other._total
        self._fired_in += other._fired_in
        np.maximum(self._maximum, other._maximum, out=self._maximum)
        self._best.merge(other._best)
        self._drawn.merge(other._drawn)
        self._pool_take(other._pool)

    def pictures_wanted(self) -> set[int]:
        """Images that some crop references, or yet may as a negative."""
        self._best.settle()
        self._drawn.settle()
        kept = (self._best.fields["image"], self._drawn.fields["image"], self._pool["image"])
        return set(np.unique(np.concatenate(kept)).tolist())

    def stats(self) -> FeatureStats:
        """Density, mean, maximum and number of images of every feature."""
        mean = self._total / SUM_SCALE / np.maximum(self._active, 1)
        density = self._active / max(self.cells_seen, 1)
        return FeatureStats(density, mean, self._maximum.copy(), self._fired_in.copy())

    def rows(self) -> Iterator[CropRow]:
        """Every crop to be stored, by feature, split, role and rank; a feature that never fired has none."""
        self._best.settle()
        self._drawn.settle()
        top = self._best.fields
        drawn = self._drawn.fields
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
        top_starts, drawn_starts = starts_of(top["length"]), starts_of(drawn["length"])
        fired = np.unpackbits(self._pool["fired"], axis=1, count=self.num_features).astype(bool)
        sides = [np.flatnonzero(self._pool["split"] == side) for side in (0, 1)]
        for feature in np.flatnonzero(self._fired_in).tolist():
            for side, split in enumerate(SPLITS):
                group = 2 * feature + side
                for rank, i in enumerate(range(top_at[group], top_at[group + 1])):
                    yield self._row(self._best, top_starts, i, feature, split, "top", rank)
                for rank, i in enumerate(extra_order[extra_at[group] : extra_at[group + 1]].tolist()):
                    yield self._row(self._drawn, drawn_starts, i, feature, split, "quantile", rank)
                silent = sides[side][~fired[sides[side], feature]][: self.negatives]
                for rank, image in enumerate(self._pool["image"][silent].tolist()):
                    yield CropRow(feature, image, split, "negative", rank, 0.0)

    def _row(
        self, entries: BestEntries, starts: np.ndarray, i: int, feature: int, split: Split, role: Role, rank: int
    ) -> CropRow:
        fields = entries.fields
        activation = float(fields["activation"][i])
        quantile = None
        if role == "quantile":
            quantile = min(int(QUANTILES * (activation / float(self._maximum[feature]))), QUANTILES - 1)
        begin = int(starts[i])
        end = begin + int(fields["length"][i])
        packed = pack_map(entries.cells[begin:end], entries.values[begin:end], self.grid)
        row, col = divmod(int(fields["cell"][i]), self.grid[1])
        image, step = int(fields["image"][i]), int(fields["step"][i])
        return CropRow(feature, image, split, role, rank, activation, step, row, col, quantile, packed)

    def _settings(self) -> np.ndarray:
        return np.array([self.num_features, self.top, self.reservoir, self.negatives, self.seed], np.int64)

    def state(self) -> dict[str, np.ndarray]:
        """All that is kept, for `from_state`; the arrays are the collector's own until its next update."""
        counts = np.array([*self.grid, self.images_seen, self.cells_seen], np.int64)
        own = {"settings": self._settings(), "counts": counts, "active": self._active, "total": self._total}
        own |= {"fired_in": self._fired_in, "maximum": self._maximum}
        own |= {f"pool.{name}": array for name, array in self._pool.items()}
        return {name: np.array(a) for name, a in own.items()} | self._best.state("best") | self._drawn.state("drawn")

    @classmethod
    def from_state(cls, state: dict[str, np.ndarray]) -> CropCollector:
        """The collector that `state` was taken from."""
        collector = cls(*(int(v) for v in state["settings"]))
        rows, cols, collector.images_seen, collector.cells_seen = (int(v) for v in state["counts"])
        collector.grid = (rows, cols)
        collector._active, collector._total = state["active"].copy(), state["total"].copy()
        collector._fired_in, collector._maximum = state["fired_in"].copy(), state["maximum"].copy()
        collector._pool = {name: state[f"pool.{name}"].copy() for name in collector._pool}
        collector._best.restore("best", state)
        collector._drawn.restore("drawn", state)
        return collector


def dump_state(state: dict[str, np.ndarray]) -> bytes:
    """A collector's state as bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **state)  # type: ignore[arg-type]
    return buffer.getvalue()


def load_state(data: bytes) -> dict[str, np.ndarray]:
    """What `dump_state` wrote."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _mix(x: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser (Steele, Lea, Flood 2014), uint64 [n]."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def _hash(seed: int, feature: np.ndarray, image: np.ndarray) -> np.ndarray:
    """A random-looking number of (seed, feature, image), the same everywhere, uint64 [n]."""
    mixed = _mix(np.full(feature.shape, seed % 2**64, np.uint64))
    return _mix(_mix(mixed ^ feature.astype(np.uint64)) ^ image.astype(np.uint64))

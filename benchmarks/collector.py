"""Crops: the streaming collector against the usual way, which stores every code and sorts when all are there.

Both see the same synthetic codes and give the same top crops, densities and maxima. Each run is a process of its own,
so that its peak memory is its own; making the codes is not timed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pairs import Row, interleave

PAIRS, QUICK_PAIRS = 6, 1
IMAGES, QUICK_IMAGES = (2000, 20_000), (64,)
GRID, LATENTS, K, BATCH = (12, 12), 1536, 16, 16
TOP = 10
"""Crops of a feature and split, as a default harvest keeps."""


def codes(images: int) -> Iterator[tuple[list[int], Any]]:
    """Batches of sparse codes: a few features fire often and most of them seldom, stronger in some images.

    Yields the numbers of the images and a `SparseCode` [images * cells, k].
    """
    import torch

    from autointerp.dictionaries.protocol import SparseCode

    tokens = GRID[0] * GRID[1]
    for start in range(0, images, BATCH):
        numbers = list(range(start, min(start + BATCH, images)))
        rng = np.random.default_rng((7, start))
        count = len(numbers) * tokens
        # Spread over all latents with a heavy head; slots of one token hit different latents.
        first = (LATENTS * rng.random(count) ** 3).astype(np.int64)
        indices = (first[:, None] + 97 * np.arange(K)) % LATENTS
        acts = rng.exponential(1.0, (count, K)).astype(np.float32)
        acts[rng.random((count, K)) < 0.1] = 0
        yield numbers, SparseCode(torch.from_numpy(acts), torch.from_numpy(indices))


def split_names(numbers: list[int]) -> list[Any]:
    """The split of each image, from the hash of its prompt as in a harvest."""
    from autointerp.crops.split import split_of

    return [split_of(f"prompt {number}") for number in numbers]


class Streamed:
    """The collector of `autointerp.crops`."""

    def __init__(self) -> None:
        from autointerp.crops.collect import CropCollector
        from autointerp.crops.records import Quota

        self.collector = CropCollector(LATENTS, Quota(TOP, 0, 0), seed=0)

    def update(self, numbers: list[int], code: Any) -> None:
        """Reduce a batch and keep what it betters."""
        self.collector.update([self.collector.reduce(code, numbers, split_names(numbers), GRID, 0)])

    def finish(self) -> list[tuple[int, int, str, float]]:
        """(feature, image, split, activation) of every top crop."""
        self.collector.stats()
        return [(r.feature, r.image, r.split, r.activation) for r in self.collector.rows() if r.role == "top"]


class Stored:
    """Everything that fires, kept in arrays until the end, then sorted by feature."""

    def __init__(self) -> None:
        self.parts: list[tuple[np.ndarray, ...]] = []
        self.splits: dict[int, str] = {}

    def update(self, numbers: list[int], code: Any) -> None:
        """Keep a batch as (feature, image, cell, activation), a number each."""
        acts, indices = code.latent_acts.numpy(), code.latent_indices.numpy()
        token, slot = np.nonzero(acts)
        tokens = GRID[0] * GRID[1]
        image = np.array(numbers, np.int32)[token // tokens]
        cell = (token % tokens).astype(np.int16)
        self.parts.append((indices[token, slot].astype(np.int32), image, cell, acts[token, slot]))
        self.splits.update(zip(numbers, split_names(numbers), strict=True))

    def finish(self) -> list[tuple[int, int, str, float]]:
        """(feature, image, split, activation) of every top crop, with the activation maps and figures made too."""
        feature, image, cell, act = (np.concatenate([part[i] for part in self.parts]) for i in range(4))
        self.parts = []
        order = np.lexsort((cell, -act, image, feature))
        feature, image, cell, act = feature[order], image[order], cell[order], act[order]
        begins = np.flatnonzero(np.r_[True, (feature[1:] != feature[:-1]) | (image[1:] != image[:-1])])
        ends = np.r_[begins[1:], len(feature)]
        starts = np.searchsorted(feature[begins], np.arange(LATENTS + 1))
        np.bincount(feature, minlength=LATENTS)
        np.bincount(feature, weights=act, minlength=LATENTS)
        found = []
        for latent in range(LATENTS):
            mine = np.arange(starts[latent], starts[latent + 1])
            best = mine[np.lexsort((image[begins[mine]], -act[begins[mine]]))]
            kept = {"explain": 0, "score": 0}
            for i in best:
                number = int(image[begins[i]])
                split = self.splits[number]
                if kept[split] < TOP:
                    kept[split] += 1
                    heat = np.zeros(GRID[0] * GRID[1], np.float16)
                    heat[cell[begins[i] : ends[i]]] = act[begins[i] : ends[i]]
                    found.append((latent, number, split, float(act[begins[i]])))
                if min(kept.values()) == TOP:
                    break
        return found


WAYS: dict[str, type[Any]] = {"streamed": Streamed, "stored": Stored}


def peak_bytes() -> int:
    """The most memory that this process has held, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def measure(way: str, images: int) -> dict[str, float]:
    """Replay the codes in this process: seconds at work, and MB on top of what making the codes takes."""
    for _ in codes(2 * BATCH):
        pass
    collector = WAYS[way]()
    before, seconds = peak_bytes(), 0.0
    for numbers, code in codes(images):
        begun = time.perf_counter()
        collector.update(numbers, code)
        seconds += time.perf_counter() - begun
    begun = time.perf_counter()
    crops = collector.finish()
    seconds += time.perf_counter() - begun
    return {"seconds": seconds, "megabytes": max(peak_bytes() - before, 1) / 2**20, "crops": float(len(crops))}


def apart(way: str, images: int) -> dict[str, float]:
    """`measure` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.collector", way, str(images)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def run(quick: bool, pairs: int | None = None) -> list[Row]:
    """Time and memory of both."""
    count = pairs or (QUICK_PAIRS if quick else PAIRS)
    rows = []
    for size in QUICK_IMAGES if quick else IMAGES:
        ours, other = interleave(count, lambda: apart("streamed", size), lambda: apart("stored", size))  # noqa: B023
        if {x["crops"] for x in ours} != {x["crops"] for x in other}:
            raise RuntimeError("the two ways gave different crops")
        rows += [
            Row.of("collector", f"{figure}, {size} images: streamed / stored", unit, *columns)
            for figure, unit, columns in (
                ("time", "s", [[x["seconds"] for x in side] for side in (ours, other)]),
                ("memory", "MB", [[x["megabytes"] for x in side] for side in (ours, other)]),
            )
        ]
    return rows


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))

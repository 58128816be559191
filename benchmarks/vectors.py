"""Vectors: the indexes of 100,000 labels and 1,000,000 crops, as large as those of a large dictionary.

The data: 2,000 clusters around random directions of 512 dimensions. A vector is its cluster's direction plus a normal
step of the same length within 24 dimensions of the cluster's own, made a unit vector. Queries are drawn like vectors.
Recall is the share of the ten nearest by an exact search that are among the ten found.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

DIM, CLUSTERS, INTRINSIC = 512, 2_000, 24
LABELS, CROPS, ADDED, QUERIES = 100_000, 1_000_000, 1_000, 300
EF_SEARCH = (32, 64, 128, 256)


class Clusters:
    """Where vectors are drawn from."""

    def __init__(self, seed: int = 0) -> None:
        self.draw = np.random.default_rng(seed)
        centres = self.draw.standard_normal((CLUSTERS, DIM), dtype=np.float32)
        self.centres = centres / np.linalg.norm(centres, axis=1, keepdims=True)
        axes = self.draw.standard_normal((CLUSTERS, DIM, INTRINSIC), dtype=np.float32)
        self.axes = np.linalg.qr(axes)[0].transpose(0, 2, 1).copy()

    def vectors(self, count: int) -> np.ndarray:
        """Unit vectors, float32 [count, DIM]."""
        of = self.draw.integers(CLUSTERS, size=count)
        steps = self.draw.standard_normal((count, INTRINSIC), dtype=np.float32) / INTRINSIC**0.5
        found = np.empty((count, DIM), np.float32)
        for cluster in range(CLUSTERS):
            mine = of == cluster
            found[mine] = self.centres[cluster] + steps[mine] @ self.axes[cluster]
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    result = work()
    return time.perf_counter() - begun, result


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(what: str, count: int, clusters: Clusters, folder: Path, say: Callable[[str], None] = print) -> None:
    """Build, write, read, ask and add to an index of this many vectors."""
    from autointerp.search.building import HNSW_BUILD, HNSW_LINKS, build_index, compacted
    from autointerp.search.index_file import read_index, write_index
    from autointerp.search.rows import Rows

    vectors, asked, more = clusters.vectors(count), clusters.vectors(QUERIES), clusters.vectors(ADDED)
    rows = Rows(np.arange(count), np.arange(count) // 10, np.arange(count), np.ones(count))
    taken, index = seconds(lambda v=vectors: build_index(rows, v, "drawn", "", LABELS))
    built_with = f" (M {HNSW_LINKS}, efConstruction {HNSW_BUILD})" if index.kind == "hnsw" else ""
    say(f"{what}: {count} vectors, {index.kind}{built_with}: built in {taken:.1f} s, peak {peak_gb():.1f} GB")
    path = folder / f"{what}.faiss"
    wrote, _ = seconds(lambda: write_index(index, path))
    size = path.stat().st_size / 2**30
    best = np.concatenate([np.argsort(-(part @ vectors.T), axis=1)[:, :10] for part in np.array_split(asked, 10)])
    del index, vectors
    read, index = seconds(lambda: read_index(path))
    say(f"{what}: file {size:.2f} GB, written in {wrote:.1f} s, read in {read:.1f} s")
    for n in (10, 200):
        for ef_search in EF_SEARCH if index.kind == "hnsw" else EF_SEARCH[:1]:
            times, hits = [], 0
            for query, true in zip(asked, best, strict=True):
                one, (ids, _, _) = seconds(lambda q=query, m=n, ef=ef_search: index.search(q, m, ef_search=ef))
                times.append(one)
                hits += len(set(ids[0, :10].tolist()) & set(true.tolist()))
            at = f", efSearch {max(ef_search, n)}" if index.kind == "hnsw" else ""
            low, high = np.percentile(times, [50, 95]) * 1000
            recall = hits / (10 * len(asked))
            say(f"{what}: {n} nearest{at}: p50 {low:.2f} ms, p95 {high:.2f} ms, recall@10 {recall:.4f}")
    new = Rows(count + np.arange(ADDED), np.arange(ADDED), np.arange(ADDED), np.ones(ADDED))
    added, _ = seconds(lambda: index.add(new, more))
    kept, index = seconds(lambda: compacted(index, LABELS))
    wrote, _ = seconds(lambda: write_index(index, path))
    found = index.search(more[:50], 1)[0][:, 0]
    say(
        f"{what}: {ADDED} more: {added + kept:.2f} s, and {wrote:.2f} s to write; now {index.kind}, "
        f"{np.mean(found == new.ids[:50]):.0%} of the new ones are found"
    )
    removed, _ = seconds(lambda: index.remove(rows.ids[:ADDED]))
    say(f"{what}: {ADDED} removed: {removed:.2f} s")


def main() -> None:
    import faiss

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=int, default=LABELS)
    parser.add_argument("--crops", type=int, default=CROPS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the files stay")
    options = parser.parse_args()
    faiss.omp_set_num_threads(options.threads)
    clusters = Clusters()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for what, count in (("labels", options.labels), ("crops", options.crops)):
            measure(what, count, clusters, folder, lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()

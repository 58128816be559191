"""Several workers: two processes of one thread against one, and merging what many of them send."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pairs import Row, interleave

PAIRS, QUICK_PAIRS = 3, 1
IMAGES, QUICK_IMAGES = 400, 16
LAYER = "mid"
SHARDS, FEATURES, TOP, CELLS = 8, 65_536, 40, 16
QUICK_FEATURES = 512


def workers(ctx: Any, count: int, images: int) -> dict[str, float]:
    """Harvest the images by `count` processes of one thread each; starting them is not timed."""
    from autointerp.crops.collect import CropCollector
    from autointerp.crops.records import Quota
    from autointerp.dictionaries.storage import load_dictionary
    from autointerp.stages.harvest.batches import JobBatch, JobRanges, Shard, cut_batches, cut_shards, find_pending
    from autointerp.stages.harvest.gathering import PassReader
    from autointerp.stages.harvest.workers import AHEAD, Workers

    row = ctx.dictionary_of(LAYER)
    dictionary = load_dictionary(ctx.workspace.dictionary_dir(row.name))
    collector = CropCollector(row.num_latents, Quota(8, 20, 5), 0)
    reader = PassReader(dictionary, ctx.layer_of(row), tuple(row.steps), collector)
    jobs, size = ctx.prompts.jobs(0, images, 0), ctx.settings.batch_size
    shards = cut_shards(find_pending(cut_batches(jobs, size), [JobRanges()]))
    if len(shards) < count and images > QUICK_IMAGES:
        raise RuntimeError("there are fewer shards than workers")
    with Workers(ctx, [reader], count, None, threads=1) as pool:
        # Each loads its model with its first shard.
        for _ in pool.gather([Shard((0,), (JobBatch(0, (jobs[0],)),))] * count * AHEAD):
            pass
        begun = time.perf_counter()
        for _, found in pool.gather(shards):
            collector.merge(found.collectors[0])
        seconds = time.perf_counter() - begun
    if collector.images_seen != images:
        raise RuntimeError("images are missing")
    return {"seconds": seconds}


def merged(features: int) -> float:
    """Seconds to merge shards whose collectors are full, each feature with `TOP` crops."""
    from autointerp.crops.collect import CropCollector
    from autointerp.crops.hashing import strongest_key
    from autointerp.crops.records import Quota

    def full(shard: int) -> Any:
        rng = np.random.default_rng(shard)
        group = np.repeat(np.arange(2 * features), TOP // 2)
        image = rng.integers(0, 2**16, len(group)) + shard * 2**16
        activation = rng.exponential(1.0, len(group)).astype(np.float32)
        collector = CropCollector(features, Quota(TOP // 2, 0, 0), 0)
        collector._best.offer(
            {
                "group": group,
                "key": strongest_key(activation, image),
                "image": image,
                "activation": activation,
                "length": np.full(len(group), CELLS, np.int32),
            },
            {"cells": np.zeros(CELLS * len(group), np.uint16), "values": np.ones(CELLS * len(group), np.float16)},
        )
        collector.settle()
        return collector

    whole = full(0)
    seconds = 0.0
    for shard in range(1, SHARDS):
        other = full(shard)
        begun = time.perf_counter()
        whole.merge(other)
        seconds += time.perf_counter() - begun
    begun = time.perf_counter()
    whole.settle()
    seconds += time.perf_counter() - begun
    kept = whole._best.fields
    if len(kept["group"]) != features * TOP or len(np.unique(kept["image"] // 2**16)) != SHARDS:
        raise RuntimeError("crops are missing")
    return seconds


def run(quick: bool, pairs: int | None = None) -> list[Row]:
    """Time both: two workers against one, and the merge against the ten seconds that it may take."""
    from autointerp.project.context import Context
    from autointerp.project.settings import Settings
    from autointerp.project.workspace import WorkspaceFolder
    from autointerp.stages.fit.planning import FitRequest, plan_fit
    from autointerp.stages.fit.training import run_fits

    count = pairs or (QUICK_PAIRS if quick else PAIRS)
    images = QUICK_IMAGES if quick else IMAGES
    features = QUICK_FEATURES if quick else FEATURES
    times = [merged(features) for _ in range(count)]
    rows = [Row.of("shards", f"merge {SHARDS} x {features} x {TOP}: seconds / 10 s", "s", times, [10.0] * count)]
    values = {"model": "shapes", "device": "cpu", "fit_images": 4, "batch_size": 16}
    with tempfile.TemporaryDirectory() as folder:
        ctx = Context(WorkspaceFolder.create(Path(folder) / "w", Settings.from_values(values)))
        run_fits(ctx, [plan_fit(ctx, LAYER, FitRequest("random"))])
        # As much time as the better of the two takes of the other: how many times as fast two are.
        ours, other = interleave(count, lambda: workers(ctx, 1, images), lambda: workers(ctx, 2, images))
        ctx.workspace.close()
    one, two = [x["seconds"] for x in ours], [x["seconds"] for x in other]
    return [*rows, Row.of("shards", f"{images} images: one worker / two workers", "s", one, two)]

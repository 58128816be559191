"""Growth: what a harvest of many images takes beyond one of few. It should take nothing but its time.

Replayed: the collector alone, as in a default harvest with every kind of crop, on the codes of `benchmarks.collector`.
Generated: whole harvests of the embedded model, with one denoising step. Each run is a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.collector import BATCH, GRID, LATENTS, codes, peak_bytes, split_names
from benchmarks.pairs import Row, interleave

PAIRS, QUICK_PAIRS = 3, 1
REPLAYED, QUICK_REPLAYED = (20_000, 1_000), (128, 64)
GENERATED, QUICK_GENERATED = (2_000, 500), (32, 16)
NEAREST = 8


def replayed(images: int) -> dict[str, float]:
    """Peak memory of the process in MB, and ms an image once the crops are full."""
    from autointerp.crops.collect import CropCollector
    from autointerp.crops.nearest import NearestLatents
    from autointerp.crops.records import Quota

    rng = np.random.default_rng(1)
    index = rng.integers(0, LATENTS, (LATENTS, NEAREST)).astype(np.int32)
    nearest = NearestLatents(index, np.sort(rng.random((LATENTS, NEAREST), np.float32))[:, ::-1])
    collector = CropCollector(LATENTS, Quota(20, 20, 5, 5, 8192), 0, nearest)
    spent = []
    for numbers, code in codes(images):
        begun = time.perf_counter()
        collector.update([collector.reduce(code, numbers, split_names(numbers), GRID, 0)])
        spent.append(time.perf_counter() - begun)
    collector.settle()
    # The last half: at first everything is kept, and what that costs is the same for any number of images.
    late = spent[len(spent) // 2 :]
    return {"megabytes": peak_bytes() / 2**20, "ms": 1000 * sum(late) / (len(late) * BATCH)}


def generated(images: int) -> dict[str, float]:
    """Peak memory of the process in MB, ms an image, and the size of the database in MB."""
    from autointerp.project.context import Context
    from autointerp.project.settings import Settings
    from autointerp.project.workspace import WorkspaceFolder
    from autointerp.stages.fit.planning import FitRequest, plan_fit
    from autointerp.stages.fit.training import run_fits
    from autointerp.stages.harvest.harvesting import run_harvest
    from autointerp.stages.harvest.planning import plan_harvest

    values = {"model": "shapes", "device": "cpu", "fit_images": 8, "images": images, "steps": 1, "capture_steps": [0]}
    with tempfile.TemporaryDirectory() as folder:
        ctx = Context(WorkspaceFolder.create(Path(folder) / "w", Settings.from_values(values)))
        fit = plan_fit(ctx, "mid", FitRequest("random"))
        (row,) = run_fits(ctx, [fit])
        begun = time.perf_counter()
        run_harvest(ctx, plan_harvest(ctx, plan_fit(ctx, "mid", FitRequest("random"))))
        seconds = time.perf_counter() - begun
        with ctx.db.session() as session:
            from sqlalchemy import text

            kept = session.scalar(text("SELECT count(*) FROM images"))
        ctx.workspace.close()
        size = sum(path.stat().st_size for path in (Path(folder) / "w").glob("autointerp.db*"))
    return {
        "megabytes": peak_bytes() / 2**20,
        "ms": 1000 * seconds / images,
        "database": size / 2**20,
        "kept": float(kept or 0),
    }


WAYS: dict[str, Any] = {"replayed": replayed, "generated": generated}


def apart(way: str, images: int) -> dict[str, float]:
    """One of them in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.growth", way, str(images)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def run(quick: bool, pairs: int | None = None) -> list[Row]:
    """Many images against few, for both ways."""
    rows = []
    for way, (many, few), usual in (
        ("replayed", QUICK_REPLAYED if quick else REPLAYED, PAIRS),
        ("generated", QUICK_GENERATED if quick else GENERATED, 1),  # many minutes
    ):
        count = pairs or (QUICK_PAIRS if quick else usual)
        ours, other = interleave(count, lambda: apart(way, many), lambda: apart(way, few))  # noqa: B023
        for figure, what, unit in (
            ("megabytes", "peak memory", "MB"),
            ("ms", "time an image", "ms"),
            ("database", "database", "MB"),
            ("kept", "pictures kept", ""),
        ):
            if figure in ours[0]:
                columns = [[x[figure] for x in side] for side in (ours, other)]
                rows.append(Row.of("growth", f"{what}, {way}: {many} images / {few}", unit, *columns))
    return rows


if __name__ == "__main__":
    print(json.dumps(WAYS[sys.argv[1]](int(sys.argv[2]))))

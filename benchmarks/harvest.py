"""Harvest: what capturing, encoding and keeping crops costs on top of generating the same images.

The dictionary holds random directions: all of them are live, so no fitted dictionary of this size costs more. Both
sides use one loaded pipeline on the processor, the same batches, prompts and seeds.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.pairs import Row, interleave

PAIRS, QUICK_PAIRS = 6, 1
IMAGES, QUICK_IMAGES = 32, 4
LAYER = "mid"


def bare(ctx: Any, images: int) -> dict[str, float]:
    """Generate the images by calling the pipeline as anyone would."""
    import torch

    model, how, size = ctx.model, ctx.generation, ctx.settings.batch_size
    jobs = ctx.prompts.jobs(0, images, ctx.settings.seed)
    begun = time.perf_counter()
    for start in range(0, images, size):
        batch = jobs[start : start + size]
        arguments, _ = model.family.call(model.configs, how.guidance, len(batch))
        with torch.inference_mode(), model.autocast():
            pictures = model.pipeline(
                prompt=[job.prompt for job in batch],
                num_inference_steps=how.steps,
                height=how.size,
                width=how.size,
                max_sequence_length=how.max_sequence_length,
                generator=[torch.Generator("cpu").manual_seed(job.seed) for job in batch],
                output_type="pil",
                **arguments,
            ).images
        if len(pictures) != len(batch):
            raise RuntimeError("the pipeline gave too few pictures")
    return {"seconds": time.perf_counter() - begun}


def harvested(ctx: Any, fitted: Path, images: int) -> dict[str, float]:
    """Harvest into a fresh copy of the fitted workspace; `stream` leaves out the last transaction."""
    from autointerp.stages import harvest
    from autointerp.stages.context import Context
    from autointerp.stages.fit import resolve_dictionary
    from autointerp.workspace import Workspace

    last: list[float] = []
    finish = harvest._Harvest.finish

    def timed(self: Any, sweep: bool = True) -> None:
        begun = time.perf_counter()
        finish(self, sweep)
        last.append(time.perf_counter() - begun)

    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(fitted, Path(folder) / "copy")
        workspace = Workspace.open(Path(folder) / "copy")
        mine = Context(workspace, images=images)
        mine.__dict__["model"] = ctx.model
        plan = harvest.plan_harvest(mine, resolve_dictionary(mine, LAYER, None))
        harvest._Harvest.finish = timed  # type: ignore[method-assign]
        try:
            begun = time.perf_counter()
            done = harvest.run_harvest(mine, replace(plan, done=False))
            seconds = time.perf_counter() - begun
        finally:
            harvest._Harvest.finish = finish  # type: ignore[method-assign]
        workspace.close()
        if not done.done or not last:
            raise RuntimeError("nothing was harvested")
    return {"seconds": seconds, "stream": seconds - last[0]}


def run(quick: bool, pairs: int | None = None, images: int | None = None) -> list[Row]:
    """Time both, pair by pair."""
    from autointerp.settings import Settings
    from autointerp.stages.context import Context
    from autointerp.stages.fit import FitRequest, plan_fit
    from autointerp.stages.train import run_fits
    from autointerp.workspace import Workspace

    size = images or (QUICK_IMAGES if quick else IMAGES)
    count = pairs or (QUICK_PAIRS if quick else PAIRS)
    values = {"device": "cpu", "fit_images": 8, "batch_size": min(16, size), "dictionary": {"kind": "random"}}
    with tempfile.TemporaryDirectory() as folder:
        fitted = Path(folder) / "fitted"
        ctx = Context(Workspace.create(fitted, Settings.from_values(values)))
        run_fits(ctx, [plan_fit(ctx, LAYER, FitRequest())])
        ctx.workspace.close()
        bare(ctx, min(size, 4))
        ours, other = interleave(count, lambda: harvested(ctx, fitted, size), lambda: bare(ctx, size))
    theirs = [x["seconds"] for x in other]
    return [
        Row.of("harvest", f"streaming, {size} images: harvest / generate", "s", [x["stream"] for x in ours], theirs),
        Row.of("harvest", f"whole, {size} images: harvest / generate", "s", [x["seconds"] for x in ours], theirs),
    ]

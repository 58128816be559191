"""Harvest: what capturing, encoding and keeping crops costs on top of generating the same images.

Eight times the layer's width in latents, 40 top crops of each, 40 over its range, negatives of both kinds. The
dictionary holds random directions: all of them are live, so no fitted dictionary of this size costs more. Both sides
use one loaded pipeline on the processor, the same batches, prompts and seeds.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.pairs import Row, interleave

PAIRS, QUICK_PAIRS = 6, 1
IMAGES, QUICK_IMAGES = 96, 4
LAYER = "mid"
EXPANSION, TOP = 8, 40


def bare(ctx: Any, images: int) -> dict[str, float]:
    """Generate the images by calling the pipeline as anyone would."""
    import torch

    model, how, size = ctx.model, ctx.generation, ctx.settings.batch_size
    jobs = ctx.prompts.jobs(0, images, ctx.settings.seed)
    begun = time.perf_counter()
    for start in range(0, images, size):
        batch = jobs[start : start + size]
        arguments = model.family.call(model.configs, how.guidance, len(batch)).arguments
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


@contextmanager
def timed(owner: Any, name: str, spent: dict[str, float], part: str) -> Iterator[None]:
    """Add the time in `owner.name` to what `part` has spent."""
    real = getattr(owner, name)

    def measured(*args: Any, **kwargs: Any) -> Any:
        begun = time.perf_counter()
        try:
            return real(*args, **kwargs)
        finally:
            spent[part] = spent.get(part, 0.0) + time.perf_counter() - begun

    setattr(owner, name, measured)
    try:
        yield
    finally:
        setattr(owner, name, real)


def harvested(ctx: Any, fitted: Path, images: int) -> dict[str, float]:
    """Harvest into a fresh copy of the fitted workspace; also the seconds in each part of it."""
    from autointerp.crops.collect import CropCollector
    from autointerp.dictionaries.baselines import RandomDirections
    from autointerp.project.context import Context
    from autointerp.project.targets import Target
    from autointerp.project.workspace import WorkspaceFolder
    from autointerp.stages.fit.planning import resolve_dictionary
    from autointerp.stages.harvest import gathering as gather, harvesting as harvest
    from autointerp.stages.harvest.planning import plan_harvest

    spent: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        shutil.copytree(fitted, Path(folder) / "copy")
        workspace = WorkspaceFolder.open(Path(folder) / "copy")
        mine = Context(workspace, images=images)
        mine.__dict__["model"] = ctx.model
        plan = plan_harvest(mine, resolve_dictionary(mine, Target(LAYER)))
        for owner, name, part in (
            (RandomDirections, "encode", "encode"),
            (CropCollector, "reduce", "reduce"),
            (CropCollector, "update", "keep"),
            (gather, "encode_picture", "pictures"),
            (harvest.HarvestPass, "checkpoint", "commit"),
            (harvest.HarvestPass, "finish", "commit"),
        ):
            stack.enter_context(timed(owner, name, spent, part))
        begun = time.perf_counter()
        done = harvest.run_harvest(mine, replace(plan, done=False))
        seconds = time.perf_counter() - begun
        workspace.close()
        if not done.done or len(spent) < len(PARTS):
            raise RuntimeError("not all parts of a harvest were seen")
    return {**spent, "seconds": seconds}


PARTS = ("encode", "reduce", "keep", "pictures", "commit")


def run(quick: bool, pairs: int | None = None, images: int | None = None) -> list[Row]:
    """Time both, pair by pair."""
    from autointerp.project.context import Context
    from autointerp.project.settings import Settings
    from autointerp.project.workspace import WorkspaceFolder
    from autointerp.stages.fit.planning import FitRequest, plan_fit
    from autointerp.stages.fit.training import run_fits

    size = images or (QUICK_IMAGES if quick else IMAGES)
    count = pairs or (QUICK_PAIRS if quick else PAIRS)
    crops = {"top": TOP, "quantile": TOP}
    values = {"model": "shapes", "device": "cpu", "fit_images": 8, "batch_size": min(16, size), "crops": crops}
    with tempfile.TemporaryDirectory() as folder:
        fitted = Path(folder) / "fitted"
        ctx = Context(WorkspaceFolder.create(fitted, Settings.from_values(values)))
        latents = EXPANSION * ctx.layer(LAYER).d_in
        run_fits(ctx, [plan_fit(ctx, LAYER, FitRequest("random", latents))])
        ctx.workspace.close()
        bare(ctx, min(size, 4))
        ours, other = interleave(count, lambda: harvested(ctx, fitted, size), lambda: bare(ctx, size))
    whole, theirs = [x["seconds"] for x in ours], [x["seconds"] for x in other]
    rows = [Row.of("harvest", f"whole, {size} images: harvest / generate", "s", whole, theirs)]
    for part in PARTS:
        rows.append(Row.of("harvest", f"{part}: its share of the harvest", "s", [x[part] for x in ours], whole))
    return rows

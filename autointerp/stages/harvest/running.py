"""One harvest under way: the reader of its dictionary, and the jobs that it has taken in, kept in checkpoints."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from autointerp.crops.collect import CropCollector
from autointerp.crops.nearest import NearestLatents
from autointerp.crops.records import Quota
from autointerp.db import models, queries
from autointerp.project.context import Context
from autointerp.stages.harvest.batches import JobRanges
from autointerp.stages.harvest.gathering import PassReader
from autointerp.stages.harvest.planning import HarvestPlan

if TYPE_CHECKING:
    import torch

NEAREST = 8
"""How many features of similar direction the hard negatives of a feature are drawn from."""


class RunningHarvest:
    """One harvest under way.

    Args:
        ctx: The command's view of the workspace.
        plan: What is harvested.
        row: The dictionary that the crops will belong to.
        run_id: The open run.
    """

    def __init__(self, ctx: Context, plan: HarvestPlan, row: models.DictionaryRow, run_id: int) -> None:
        self.ctx, self.plan, self.row, self.run_id = ctx, plan, row, run_id
        self.taken_in = JobRanges()

    @cached_property
    def reader(self) -> PassReader:
        """The dictionary as a reader of the pass, at first with an empty collector."""
        from autointerp.dictionaries.storage import load_dictionary

        dictionary = load_dictionary(self.ctx.workspace.dictionary_dir(self.row.name), self.row.weights_sha256)
        crops, latents = self.plan.config["crops"], dictionary.num_latents
        # Settings count both splits together; an odd number is rounded up on each side.
        top, quantile, random, hard = (
            (crops[name] + 1) // 2 for name in ("top", "quantile", "negatives", "hard_negatives")
        )
        # Rare features need more cells, as far as memory allows.
        sample, cells = ((crops[name] + 1) // 2 for name in ("sample", "cells"))
        quota = Quota(top, quantile, random, hard, min(max(8192, 2 * latents), 131_072), sample, cells)
        nearest = self._nearest(dictionary.directions) if quota.hard else None
        collector = CropCollector(latents, quota, self.ctx.settings.seed, nearest)
        return PassReader(dictionary, self.plan.fit.layer, tuple(self.plan.config["capture_steps"]), collector)

    def _nearest(self, directions: torch.Tensor) -> NearestLatents:
        """Find the features of similar direction: on the device, or on the processor where workers have the devices."""
        from autointerp.dictionaries.neighbours import nearest_directions
        from autointerp.diffusion.devices import pick_device

        settings = self.ctx.settings
        # A worker's GPU may be full, or be given to one process alone; and it may be on another machine.
        here = "cpu" if settings.workers is not None or settings.ray is not None else settings.device
        index, cosine = (t.cpu().numpy() for t in nearest_directions(directions.to(pick_device(here)), NEAREST))
        return NearestLatents(index.astype(np.int32), cosine)

    def resume(self) -> None:
        """Go on from the last checkpoint, or from the start where pictures that it needs were removed since."""
        with self.ctx.db.session() as session:
            state = queries.checkpoints.read(session, self.run_id)
            if state is None:
                return
            ranges = JobRanges(tuple((int(start), int(stop)) for start, stop in state.pop("ranges")))
            steps, timesteps = state.pop("steps"), state.pop("timesteps")
            needed = state.pop(queries.checkpoints.PICTURES).astype(str).tolist()
            if len(queries.images.ids(session, needed)) < len(needed):
                self.ctx.progress.note("pictures of the stopped harvest were removed: it starts again")
                return
        self.taken_in, self.reader.collector = ranges, CropCollector.from_state(state)
        self.reader.timesteps = {int(s): float(t) for s, t in zip(steps, timesteps, strict=True)}

    def take_in(self, start: int, stop: int) -> None:
        """Note that the collector has the jobs from `start` to `stop`."""
        self.taken_in = self.taken_in.with_range(start, stop)

    def state(self, stored: dict[int, str]) -> dict[str, np.ndarray]:
        """Return the arrays of a checkpoint.

        Args:
            stored: Generation hash of each image whose picture is in the database, by the image's index.
        """
        timesteps = self.reader.timesteps
        wanted = self.reader.collector.pictures_wanted()
        needed = sorted(generation for index, generation in stored.items() if index in wanted)
        return {
            **self.reader.collector.state(),
            "ranges": np.array(self.taken_in.ranges, np.int64).reshape(-1, 2),
            "steps": np.array(list(timesteps), np.int64),
            "timesteps": np.array(list(timesteps.values()), np.float64),
            queries.checkpoints.PICTURES: np.array(needed, "S64"),
        }

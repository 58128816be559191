"""Stage `harvest`, planned: which harvest the settings mean, what it depends on, and which dictionary it belongs to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from autointerp.crops.maps import MOST_CELLS
from autointerp.db import models, queries
from autointerp.diffusion.layers import grid_at
from autointerp.errors import UsageError
from autointerp.project.context import Context, identity
from autointerp.project.plan import Step
from autointerp.stages.fit.planning import FitPlan, branch_dictionary, branch_name

if TYPE_CHECKING:
    from autointerp.db import Session


@dataclass(frozen=True)
class HarvestPlan:
    """A harvest that exists (`done`) or would be made, for the dictionary of `fit`."""

    fit: FitPlan
    identity: str
    config: dict[str, Any]
    done: bool
    target: str = ""
    """The dictionary name of the result, where it differs from the name of `fit`."""
    adds_to: str | None = None
    """Identity of a finished harvest that kept no sample of active cells and no random cells, which are added to it."""

    @property
    def images(self) -> int:
        """How many images the harvest reads."""
        return int(self.config["images"])

    @property
    def step(self) -> Step:
        """The plan's line."""
        crops = self.config["crops"]
        if self.adds_to is not None and not self.done:
            detail = f"samples of {crops['sample']} images a feature, and random cells, beside the crops that are there"
            return Step("harvest", self.target or self.fit.name, True, detail, images=self.images)
        detail = f"top {crops['top']} and {crops['quantile']} more crops a feature"
        name = self.target or self.fit.name
        return Step("harvest", name, not self.done, detail, images=self.images, units=self.images)


def harvest_config(ctx: Context, fit: FitPlan) -> dict[str, Any]:
    """Return everything that a harvest depends on beyond the dictionary's weights.

    Raises:
        UsageError: A grid has more cells than an activation map can hold.
    """
    made = ctx.made_of(fit.layer)
    for size in (ctx.generation.size, *ctx.prompts.sizes):
        rows, cols = grid_at(ctx.description, fit.layer, size)
        if rows * cols > MOST_CELLS:
            raise UsageError(
                f"{fit.layer.name} has {rows}x{cols} cells in pictures of {size} px, more than {MOST_CELLS:,}",
                "take smaller pictures, or a layer with a coarser grid",
            )
    # The dictionary reads the signal and steps that it was fitted on, whatever the settings say now.
    for key in ("signal", "capture_steps"):
        made[key] = fit.config[key]
    return {**made, "images": ctx.available(ctx.settings.images), "crops": ctx.settings.crops.model_dump()}


SINCE_SAMPLES = ("sample", "cells")
"""Settings of crops that harvests did not know before they kept samples of active cells, and random cells."""


def plan_harvest(ctx: Context, fit: FitPlan, adding: bool = False) -> HarvestPlan:
    """Find the harvest of these settings, whatever its dictionary is called, or the name that a new one would get.

    A harvest of these settings that was made before samples of active cells were kept counts as done.

    Args:
        ctx: The command's view of the workspace.
        fit: The dictionary.
        adding: Whether such a harvest lacks the samples, which are then to be added to it.
    """
    config = harvest_config(ctx, fit)
    weights = fit.identity if fit.row is None else fit.row.weights_sha256
    key = identity({"weights": weights, "harvest": config})
    if fit.row is None:
        return HarvestPlan(fit, key, config, False)
    crops = {name: value for name, value in config["crops"].items() if name not in SINCE_SAMPLES}
    before = {**config, "crops": crops}
    earlier = identity({"weights": weights, "harvest": before})
    with ctx.db.session() as session:
        found = _stored_harvest(session, fit, key)
        there = _stored_harvest(session, fit, earlier)
        if there is not None and not there.done:
            there = None
        if found is not None and (found.done or adding or there is None):
            return HarvestPlan(found.fit, key, config, found.done, adds_to=None if there is None else earlier)
        if there is not None:
            if not adding:
                return HarvestPlan(there.fit, earlier, before, True)
            return HarvestPlan(there.fit, key, config, False, adds_to=earlier)
        target = fit.name
        if queries.runs.has_other_harvest(session, fit.row.id, [key]):
            target = queries.dictionaries.free_name(session, branch_name(fit.row))
    return HarvestPlan(fit, key, config, False, target)


@dataclass(frozen=True)
class _StoredHarvest:
    """A harvest that was begun, with the dictionary that its crops belong to."""

    fit: FitPlan
    done: bool


def _stored_harvest(session: Session, fit: FitPlan, key: str) -> _StoredHarvest | None:
    """Return the harvest of an identity, if there is one whose dictionary is still there."""
    run = queries.runs.by_identity(session, "harvest", key)
    row = None if run is None or run.dictionary_id is None else session.get(models.DictionaryRow, run.dictionary_id)
    if run is None or row is None:
        return None
    # Both harvests of a dictionary may be asked for, so the row stays in the session's reach.
    detached = queries.dictionaries.detached(session, row.id)
    return _StoredHarvest(replace(fit, name=row.name, identity=row.identity, row=detached), run.status == "done")


def with_own_dictionary(ctx: Context, plan: HarvestPlan) -> HarvestPlan:
    """Return the plan for the dictionary that the result will belong to.

    A dictionary has the crops of one harvest. Where it has those of another, the weights are copied under a new name.

    Raises:
        UsageError: The dictionary is not fitted yet.
    """
    if plan.fit.row is None:
        raise UsageError(f"{plan.fit.name} is not fitted yet", "run `autointerp fit` first")
    with ctx.db.session() as session:
        same = [key for key in (plan.identity, plan.adds_to) if key is not None]
        taken = queries.runs.has_other_harvest(session, plan.fit.row.id, same)
    return replace(plan, fit=branch_dictionary(ctx, plan.fit, plan.identity)) if taken else plan

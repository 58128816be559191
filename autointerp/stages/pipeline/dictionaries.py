"""The commands `fit` and `harvest`, and what every later command needs first: a dictionary with its crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from autointerp.db.models import DictionaryRow
from autointerp.errors import UsageError
from autointerp.project.context import Context
from autointerp.project.plan import Plan
from autointerp.project.schedule import tell_steps
from autointerp.project.targets import Target
from autointerp.stages.fit.planning import CacheRequest, FitPlan, FitRequest, plan_fit, resolve_dictionary
from autointerp.stages.fit.training import run_fits
from autointerp.stages.harvest.harvesting import run_harvests
from autointerp.stages.harvest.planning import HarvestPlan, plan_harvest


@dataclass(frozen=True)
class TargetPlan:
    """The first two stages of a target: the fit of its dictionary and the harvest of its crops."""

    fit: FitPlan
    harvest: HarvestPlan

    @property
    def row(self) -> DictionaryRow | None:
        """The stored dictionary; None before its fit."""
        return self.harvest.fit.row


def plan_target(ctx: Context, target: Target, adding: bool = False) -> TargetPlan:
    """Return what is missing of a target's dictionary and crops; for `adding`, see `plan_harvest`."""
    fit = resolve_dictionary(ctx, target)
    return TargetPlan(fit, plan_harvest(ctx, fit, adding))


def run_targets(ctx: Context, plans: Sequence[TargetPlan]) -> list[TargetPlan]:
    """Fit and harvest what is missing, each in one generation pass; return the plans with their stored rows."""
    rows = run_fits(ctx, [plan.fit for plan in plans])
    fits = [replace(plan.fit, row=row) for plan, row in zip(plans, rows, strict=True)]
    # A harvest that was found may be of a dictionary with another name, so only new dictionaries are planned again.
    harvests = [
        plan_harvest(ctx, fit) if plan.row is None else plan.harvest for fit, plan in zip(fits, plans, strict=True)
    ]
    harvested = run_harvests(ctx, harvests)
    return [TargetPlan(fit, harvest) for fit, harvest in zip(fits, harvested, strict=True)]


def fit_layers(
    ctx: Context,
    layers: Sequence[str],
    requests: Sequence[FitRequest],
    cache: CacheRequest | None = None,
    dry_run: bool = False,
) -> tuple[Plan, list[DictionaryRow]]:
    """Fit each requested dictionary of each layer that is missing, all from one generation pass.

    Raises:
        UsageError: One name is given to several dictionaries.
    """
    fits = _plan_fits(ctx, layers, requests)
    if len(fits) > 1 and any(request.name for request in requests):
        raise UsageError("--name can name one dictionary only", "fit them one by one, or leave the names to autointerp")
    plan = Plan(tuple(fit.step for fit in fits))
    if dry_run or plan.nothing_to_do:
        return plan, [fit.row for fit in fits if fit.row is not None]
    with ctx.workspace.lock():
        tell_steps(ctx.progress, plan)
        # Plan again inside the lock, because another process may have finished some of the fits.
        return plan, run_fits(ctx, _plan_fits(ctx, layers, requests), cache)


def _plan_fits(ctx: Context, layers: Sequence[str], requests: Sequence[FitRequest]) -> list[FitPlan]:
    """Return the plan of each request at each layer; requests for the same dictionary share a plan."""
    plans: dict[str, FitPlan] = {}
    for layer in layers:
        for request in requests:
            plan = plan_fit(ctx, layer, request)
            plans.setdefault(plan.identity, plan)
    return list(plans.values())


def harvest_layers(ctx: Context, targets: Sequence[Target], dry_run: bool = False) -> tuple[Plan, list[DictionaryRow]]:
    """Harvest the crops of the targets' dictionaries that are missing, all from one generation pass.

    Samples of active cells are added to harvests that were made before such samples were kept.
    """
    plans = [plan_target(ctx, target, adding=True) for target in targets]
    plan = Plan(tuple(step for one in plans for step in (one.fit.step, one.harvest.step)))
    if not dry_run and not plan.nothing_to_do:
        with ctx.workspace.lock():
            tell_steps(ctx.progress, plan)
            plans = run_targets(ctx, [plan_target(ctx, target, adding=True) for target in targets])
    return plan, [one.row for one in plans if one.row is not None]

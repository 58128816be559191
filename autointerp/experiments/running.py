"""Running an experiment: units that are stored are skipped, and each new one is stored as soon as it is measured."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autointerp.db import queries
from autointerp.db.queries.experiments import PlannedExperiment
from autointerp.experiments.protocol import Cost, Experiment, Figure, Unit
from autointerp.progress import clock
from autointerp.project.context import identity

if TYPE_CHECKING:
    from autointerp.project.context import Context


@dataclass(frozen=True)
class ExperimentPlan:
    """What an experiment would do: which of its units are missing, and what those take.

    Attributes:
        kind: The experiment.
        identity: Hash of kind, model and configuration.
        configuration: All that decides the figures.
        total: The number of its units.
        missing: The units that are not measured yet.
        cost: What those take.
        is_done: Whether the figures are stored.
    """

    kind: str
    identity: str
    configuration: dict[str, Any]
    total: int
    missing: Sequence[Unit]
    cost: Cost
    is_done: bool

    @property
    def text(self) -> str:
        """The plan in one line."""
        if self.is_done:
            return f"experiment {self.kind}: up to date"
        parts = [f"{self.cost.runs} runs of the denoiser", f"{self.cost.images} images"]
        if self.cost.seconds is not None:
            parts.append(f"about {clock(self.cost.seconds)}")
        done = self.total - len(self.missing)
        known = f", {done} of {self.total} units are measured" if done else ""
        return f"experiment {self.kind}: {', '.join(parts)}{known}"


@dataclass(frozen=True)
class ExperimentOutcome:
    """A finished experiment: its plan, its figures, and the results of its units by their keys."""

    plan: ExperimentPlan
    figures: Sequence[Figure]
    results: dict[str, dict[str, Any]]


def plan_experiment(ctx: Context, experiment: Experiment) -> ExperimentPlan:
    """Find which units of an experiment are missing, without loading a model."""
    configuration = experiment.configuration()
    key = experiment_identity(ctx, experiment.kind, configuration)
    units = list(experiment.units())
    known: set[str] = set()
    is_done = False
    with ctx.db.session() as session:
        row = queries.experiments.by_identity(session, key)
        if row is not None:
            known, is_done = queries.experiments.keys(session, row.id), row.state == "done"
    missing = [unit for unit in units if unit.key not in known]
    return ExperimentPlan(
        experiment.kind, key, configuration, len(units), missing, experiment.cost(missing), is_done and not missing
    )


def experiment_identity(ctx: Context, kind: str, configuration: dict[str, Any]) -> str:
    """Return the hash of everything that the figures of an experiment depend on."""
    about = ctx.description
    return identity({"experiment": kind, "model": about.name, "revision": about.revision, **configuration})


def run_experiment(ctx: Context, experiment: Experiment) -> ExperimentOutcome:
    """Measure what is missing, and return all figures. A stop keeps every unit that was measured.

    Raises:
        AutointerpError: The experiment cannot go on; what was measured is kept.
    """
    plan = plan_experiment(ctx, experiment)
    if plan.is_done:
        return _stored(ctx, experiment, plan)
    with ctx.workspace.lock():
        about = ctx.description
        work = PlannedExperiment(plan.kind, plan.identity, about.name, about.revision, plan.configuration, plan.total)
        with ctx.db.session() as session:
            row_id = queries.experiments.begin(session, work)
        try:
            _measure(ctx, experiment, plan, row_id)
            with ctx.db.session() as session:
                results = queries.experiments.results(session, row_id)
                figures = experiment.figures(results)
                queries.experiments.finish(session, row_id, [figure.as_dict() for figure in figures])
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt | GeneratorExit | SystemExit)
            # The error is on its way to the user. A second one, of this note, must not take its place.
            with suppress(Exception), ctx.db.session() as session:
                said = "" if stopped else str(error)[:500]
                queries.experiments.stop(session, row_id, "interrupted" if stopped else "failed", said)
            raise
    return ExperimentOutcome(plan, figures, results)


def _stored(ctx: Context, experiment: Experiment, plan: ExperimentPlan) -> ExperimentOutcome:
    """Return what is stored of a finished experiment."""
    with ctx.db.session() as session:
        row = queries.experiments.by_identity(session, plan.identity)
        assert row is not None
        results = queries.experiments.results(session, row.id)
    # The figures follow from the results, so a later version of a figure needs no new measurement.
    return ExperimentOutcome(plan, experiment.figures(results), results)


def _measure(ctx: Context, experiment: Experiment, plan: ExperimentPlan, row_id: int) -> None:
    """Measure the missing units under one bar, and store each."""
    total = sum(unit.images for unit in experiment.units())
    left = sum(unit.images for unit in plan.missing)
    with ctx.progress.task(f"experiment {plan.kind}", total, total - left, unit="image") as bar:
        for unit, result in experiment.measure(plan.missing, bar):
            with ctx.db.session() as session:
                queries.experiments.keep(session, row_id, {unit.key: result})
            if not unit.counts_itself:
                bar.advance(unit.images)

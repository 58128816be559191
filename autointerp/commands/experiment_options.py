"""Options of experiments as the command line declares them: those of a registry's row, and those of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autointerp.commands.calls import open_context
from autointerp.commands.options import COUNT, PATH, combined, dry_run_option, json_option, machine_options

if TYPE_CHECKING:
    from autointerp.experiments.kinds import ExperimentKind, ExperimentOption
    from autointerp.experiments.protocol import Experiment
    from autointerp.experiments.report import ReportFiles
    from autointerp.experiments.running import ExperimentOutcome
    from autointerp.project.context import Context

outcome_options = combined(
    click.option("-o", "--out", type=PATH, metavar="DIR", help="Folder of the report.  [default: in the workspace]"),
    dry_run_option,
    json_option,
    machine_options,
)


def declared(option: ExperimentOption) -> Callable[..., Any]:
    """Return an experiment's option as one of the command line."""
    types = {"text": str, "count": COUNT, "step": click.IntRange(min=0), "number": float, "path": PATH, "flag": None}
    kind: Any = click.Choice(option.words) if option.type == "word" else types[option.type]
    metavar = option.metavar or None
    if option.argument:
        return click.argument(option.name, type=kind, required=option.required, nargs=-1 if option.many else 1)
    name = f"--{option.name.replace('_', '-')}"
    # A repeatable option is named in the singular.
    names = (name[:-1], option.name) if option.many and name.endswith("s") else (name, option.name)
    if option.type == "flag":
        return click.option(*names, is_flag=True, help=option.help)
    shown = option.default not in (None, ())
    return click.option(
        *names,
        type=kind,
        default=option.default,
        show_default=shown,
        multiple=option.many,
        required=option.required,
        metavar=metavar,
        help=option.help,
    )


@dataclass(frozen=True)
class FinishedExperiment:
    """An experiment that a command ran to its end, with its report."""

    ctx: Context
    experiment: Experiment
    outcome: ExperimentOutcome
    files: ReportFiles

    @property
    def paths(self) -> dict[str, str | None]:
        """The keys of `--json` that name the report and its plot."""
        return {"report": str(self.files.page), "plot": None if self.files.plot is None else str(self.files.plot)}


def finish(
    kind: ExperimentKind, options: Mapping[str, Any], out: Path | None, dry_run: bool, **machine: Any
) -> FinishedExperiment | None:
    """Run an experiment of the workspace and write its report; a dry run prints its plan, and returns None.

    Args:
        kind: The experiment.
        options: Its options by name.
        out: Folder of the report; one in the workspace if None.
        dry_run: Whether to measure nothing.
        **machine: Device and dtype.
    """
    from autointerp.experiments.report import check_report_folder, write_report
    from autointerp.experiments.running import plan_experiment, run_experiment

    if out is not None:
        check_report_folder(out)
    ctx = open_context(**machine)
    planned = kind.load().plan(ctx, options)
    if dry_run:
        click.echo(plan_experiment(ctx, planned).text)
        return None
    outcome = run_experiment(ctx, planned)
    return FinishedExperiment(ctx, planned, outcome, write_report(ctx, planned, outcome, out))

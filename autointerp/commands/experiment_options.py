"""Options of experiments as the command line declares them: those of a registry's row, and those of all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from autointerp.commands.options import COUNT, PATH, combined, dry_run_option, json_option, machine_options

if TYPE_CHECKING:
    from autointerp.experiments.kinds import ExperimentOption

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

"""The command `compare`: two dictionaries by their directions, or two models by what one dictionary finds in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from autointerp.commands.calls import open_context, print_json
from autointerp.commands.declaring import command
from autointerp.commands.experiment_options import declared, finish, outcome_options
from autointerp.commands.options import combined, shared_options
from autointerp.errors import UsageError
from autointerp.experiments.kinds import EXPERIMENTS, OTHER_MODEL

_OF_MODELS = (*(option.name for option in OTHER_MODEL), "out", "dry_run", "device", "dtype")
"""Options that say something of another model, or of measuring it."""


@command()
@click.argument("one", metavar="DICTIONARY")
@click.argument("other", metavar="[DICTIONARY]", required=False)
@combined(*map(declared, OTHER_MODEL), outcome_options)
@shared_options
def compare(
    one: str,
    other: str | None,
    out: Path | None,
    dry_run: bool,
    as_json: bool,
    device: str | None,
    dtype: str | None,
    **options: Any,
) -> None:
    """Compare two dictionaries by their latents, or two models by one dictionary.

    With two dictionaries: shared atoms of ITDA, and latents that point the same way. With --model, --revision,
    --loading or --steps: which features fire more, less or newly on that model than on the workspace's, on the same
    prompts and seeds, with pictures side by side in a report.
    """
    call = click.get_current_context()
    given = [name for name in _OF_MODELS if call.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if other is None:
        _compare_models({**options, "dictionary": one}, out, dry_run, as_json, device=device, dtype=dtype)
    elif given:
        raise UsageError(
            f"--{given[0].replace('_', '-')} is for a comparison of models, and {other} is another dictionary",
            "leave one of them out",
        )
    else:
        _compare_dictionaries(one, other, as_json)


def _compare_dictionaries(one: str, other: str, as_json: bool) -> None:
    from autointerp.commands.printing.dictionaries import print_comparison
    from autointerp.views.compare import compare_dictionaries

    found = compare_dictionaries(open_context(), one, other)
    if as_json:
        print_json(found.as_dict())
        return
    print_comparison(found)


def _compare_models(
    options: dict[str, Any], out: Path | None, dry_run: bool, as_json: bool, **machine: str | None
) -> None:
    if not any(options[name] for name in ("model", "revision", "loading", "steps")):
        raise UsageError(
            f"there is nothing to compare {options['dictionary']} with",
            "name another dictionary, or another model: --model, --revision, --loading lora=FILE or --steps",
        )
    done = finish(EXPERIMENTS["models"], options, out, dry_run, **machine)
    if done is None:
        return
    from autointerp.commands.printing.dictionaries import print_model_comparison
    from autointerp.views.compared_models import read_model_comparison
    from autointerp.views.experiments import read_experiment, report_name

    plan = done.outcome.plan
    found = read_model_comparison(done.ctx, read_experiment(done.ctx, report_name(plan.kind, plan.identity)))
    if as_json:
        print_json({**found.as_dict(), **done.paths})
        return
    print_model_comparison(found)
    done.ctx.progress.note(f"report, with pictures side by side: {done.files.page}")

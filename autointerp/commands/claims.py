"""The command `experiment claims`: verdicts on published claims, as a table, as JSON, and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from autointerp.commands.calls import open_context, print_json
from autointerp.commands.declaring import command
from autointerp.commands.experiment_options import declared, outcome_options
from autointerp.commands.options import PATH, combined, shared_options
from autointerp.experiments.kinds import EXPERIMENTS

_KIND = EXPERIMENTS["claims"]


@command(_KIND.name, help=f"{_KIND.help}.")
@combined(*map(declared, _KIND.options), outcome_options)
@click.option(
    "--markdown", type=PATH, metavar="FILE", help="Write the verdicts as a page too, with its plot beside it."
)
@shared_options
def claims(
    out: Path | None,
    dry_run: bool,
    as_json: bool,
    device: str | None,
    dtype: str | None,
    markdown: Path | None,
    **options: Any,
) -> None:
    """Decide the claims; the help is that of the registry."""
    from autointerp.experiments.claims.experiment import Claims
    from autointerp.experiments.claims.page import check_page, page_of, plot_of, write_page
    from autointerp.experiments.report import check_report_folder, write_report
    from autointerp.experiments.running import plan_experiment, run_experiment

    if out is not None:
        check_report_folder(out)
    if markdown is not None:
        check_page(markdown)
    ctx = open_context(create=True, dry_run=dry_run, device=device, dtype=dtype)
    planned = Claims.plan(ctx, options)
    if dry_run:
        click.echo(plan_experiment(ctx, planned).text)
        return
    outcome = run_experiment(ctx, planned)
    files = write_report(ctx, planned, outcome, out)
    findings = planned.findings(outcome.results)
    if markdown is not None:
        drawn = None if files.plot is None else files.plot.read_bytes()
        plot = None if drawn is None else plot_of(markdown).name
        write_page(markdown, page_of(findings, planned.sizes, _written(options, markdown), plot), drawn)
    if as_json:
        print_json([one.verdict.as_dict() for one in findings])
        return
    from autointerp.commands.printing.claims import print_findings

    print_findings(findings)
    ctx.progress.note(f"report: {files.page}")


def _written(options: dict[str, Any], markdown: Path) -> str:
    """Return the command that writes a page again."""
    words = ["autointerp experiment claims", *(["--quick"] if options["quick"] else [])]
    words += [f"--{name} {options[name]}" for name in ("images", "cases") if options[name] is not None]
    words += [f"--experiment {name}" for name in options["experiments"]]
    return " ".join([*words, f"--markdown {markdown.name}"])

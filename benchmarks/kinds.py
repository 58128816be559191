"""All kinds of dictionary at all layers of `shapes`, against the truth: the table of docs/evaluation.md.

    python -m benchmarks.kinds -w DIR

One generation pass fits them all, one harvests, one evaluates; each is labeled. It goes on where it was stopped, and
prints the table at once from a workspace where all is done.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

LAYERS = ("early", "mid", "late")
KINDS = ("topk", "batchtopk", "jumprelu", "itda", "neurons", "pca", "random")
COLUMNS = (
    ("L0", "l0", "{:.1f}"),
    ("FVU", "fvu", "{:.3f}"),
    ("loss recovered", "loss_recovered", "{:.1%}"),
    ("dead", "dead_share", "{:.1%}"),
    ("specific", "specific", "{:.1%}"),
    ("of random activations there", "chance", "{:.1%}"),
    ("exact labels, specific", "exact_specific", "{:.1%}"),
    ("any truth", "exact", "{:.1%}"),
    ("mean over concepts", "macro_exact", "{:.1%}"),
    ("gain share, any truth", "gain_share", "{:.1%}"),
    ("fit, s", "fit_seconds", "{:.0f}"),
)


def measured(
    workspace: Path,
    layers: tuple[str, ...],
    kinds: tuple[str, ...],
    labeled: tuple[str, ...],
    scored: tuple[str, ...],
    values: dict[str, Any],
) -> list[Any]:
    """The figures of every kind at every layer, as `evaluate --json` gives them.

    `labeled` layers have labels, `scored` are the methods that these are scored by.
    """
    from autointerp.progress import default_progress
    from autointerp.project.context import Context
    from autointerp.project.settings import Settings
    from autointerp.project.targets import Target
    from autointerp.project.workspace import WorkspaceFolder, has_settings
    from autointerp.stages.evaluate.evaluating import run_evaluate
    from autointerp.stages.fit.planning import FitRequest
    from autointerp.stages.pipeline.dictionaries import fit_layers, harvest_layers
    from autointerp.stages.pipeline.jobs import LabelJob, ScoreJob
    from autointerp.stages.pipeline.labels import label_layer
    from autointerp.stages.pipeline.scores import score_layer
    from autointerp.stages.score.planning import check_methods

    if not has_settings(workspace):
        WorkspaceFolder.create(workspace, Settings.from_values(values))
    ctx = Context(WorkspaceFolder.open(workspace), default_progress())
    _, rows = fit_layers(ctx, layers, [FitRequest(kind) for kind in kinds])
    targets = [Target(row.layer, row.name) for row in rows]
    harvest_layers(ctx, targets)
    for target in (target for target in targets if target.layer in labeled):
        label_layer(ctx, LabelJob(target, score=False))
        if scored:
            score_layer(ctx, ScoreJob(target, check_methods(scored)))
    return [report.as_dict() for report in run_evaluate(ctx, targets)[1]]


def table(results: list[dict[str, Any]]) -> str:
    """The figures as Markdown, a layer after the other."""
    lines = ["| layer | kind | features | " + " | ".join(name for name, _, _ in COLUMNS) + " |"]
    lines.append("|" + "---|" * (3 + len(COLUMNS)))
    for one in results:
        unnamed = {} if one["labeled"] else dict.fromkeys(("exact", "exact_specific", "macro_exact", "gain_share"))
        one = {**one, **unnamed, "chance": one["controls"]["activations"]["specific"]}
        cells = ["-" if one[key] is None else form.format(one[key]) + _span(one, key) for _, key, form in COLUMNS]
        lines.append(f"| {one['layer']} | {one['kind']} | {one['features']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _span(one: dict[str, Any], key: str) -> str:
    """The interval of a figure that has one."""
    ends = one["intervals"].get(key)
    return "" if ends is None else " [{:.1%}, {:.1%}]".format(*ends)


def scores_table(results: list[dict[str, Any]]) -> str:
    """What each score says of each kind, as Markdown: its mean with its interval, its control, its worth."""
    lines = ["| layer | kind | score | mean over labels | shuffled | AUROC of exact labels | r with precision |"]
    lines.append("|" + "---|" * 7)
    for one in results:
        for score in one["scores"]:
            by = f" by {score['judge'].partition('@')[0]}" if score["judge"] else ""
            values = (score["shuffled"], score["right_auroc"], score["precision_r"])
            mean = (
                "-"
                if score["ci_low"] is None
                else f"{score['value']:.3f} [{score['ci_low']:.3f}, {score['ci_high']:.3f}]"
            )
            cells = [mean, *("-" if value is None else f"{value:.3f}" for value in values)]
            lines.append(f"| {one['layer']} | {one['kind']} | {score['method']}{by} | {' | '.join(cells)} |")
    return "\n".join(lines)


@click.command()
@click.option("-w", "--workspace", type=click.Path(path_type=Path), required=True, help="Where all of it is kept.")
@click.option("--layer", "layers", multiple=True, type=click.Choice(LAYERS), help="Only this one; repeatable.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only this one; repeatable.")
@click.option("--label", "labeled", multiple=True, type=click.Choice(LAYERS), help="Label these alone; repeatable.")
@click.option("--score", "scored", multiple=True, help="Score the labels so too, e.g. detection; repeatable.")
@click.option("--settings", default="{}", help="Settings of a new workspace as JSON.  [default: those of autointerp]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    workspace: Path,
    layers: tuple[str, ...],
    kinds: tuple[str, ...],
    labeled: tuple[str, ...],
    scored: tuple[str, ...],
    settings: str,
    as_json: bool,
) -> None:
    """Fit, harvest, label and evaluate every kind at every layer."""
    layers = layers or LAYERS
    found = measured(workspace, layers, kinds or KINDS, labeled or layers, scored, json.loads(settings))
    click.echo(json.dumps(found, indent=2) if as_json else f"{table(found)}\n\n{scores_table(found)}")


if __name__ == "__main__":
    main()

"""Commands that make things: a workspace, dictionaries, crops and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from autointerp.commands.calls import open_context, print_counts, print_json, progress_of_call, report, workspace_path
from autointerp.commands.declaring import command
from autointerp.commands.options import (
    COUNT,
    PATH,
    SEED,
    PictureSize,
    dictionaries_option,
    dry_run_option,
    json_option,
    layers_option,
    machine_options,
    revision_option,
    said_by_option,
    shared_options,
    stream_option,
)
from autointerp.commands.printing.evaluation import print_evaluation
from autointerp.commands.printing.tables import cell
from autointerp.dictionaries.kinds import FITTED


@command()
@click.option(
    "--model",
    metavar="M",
    help="shapes-turbo, shapes, a pipeline's folder, a hub id, or a .safetensors or .ckpt file.  [default: "
    "shapes-turbo]",
)
@revision_option
@click.option(
    "--prompts",
    metavar="P",
    help="everyday, shapes, a file (text, .jsonl, .parquet, .csv), or datasets:ID[:SPLIT[:COLUMN]].  [default: what "
    "fits the model]",
)
@click.option("--images-dir", metavar="DIR", help="Read these real pictures in place of generated images.")
@click.option("--images", type=COUNT, metavar="N", help="Images to harvest.")
@click.option("--steps", type=COUNT, metavar="N", help="Denoising steps.")
@click.option("--size", type=PictureSize(), metavar="PX", help="Side of the pictures, or WIDTHxHEIGHT.")
@click.option("--seed", type=SEED, metavar="S", help="What all randomness follows from.")
@machine_options
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any setting, e.g. loading.offload=model; repeatable. Other options win.",
)
@shared_options
def init(assignments: tuple[str, ...], **given: Any) -> None:
    """Make a workspace, after checking that its model and its prompts or pictures can be used."""
    from autointerp.project.making import make_workspace
    from autointerp.project.settings_file import settings_of_assignments

    settings = settings_of_assignments(assignments, {k: v for k, v in given.items() if v is not None})
    click.echo(make_workspace(workspace_path(), settings, progress_of_call()))


@command()
@layers_option
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help=f"{FITTED.listed()}; more than once for several.")
@click.option("--latents", type=COUNT, metavar="N", help="Number of latents.  [default: 8 x the layer's width]")
@click.option("-k", "k", type=COUNT, metavar="K", help="Latents that fire in a token.")
@click.option("--images", type=COUNT, metavar="N", help="Images to fit on.")
@click.option("--seed", type=SEED, metavar="S", help="Seed of the fit.")
@click.option("--name", metavar="X", help="Name of the dictionary.")
@click.option("--normalize", metavar="N", help="Inputs first: none, standard or whiten.  [default: standard]")
@click.option("--per-step", is_flag=True, default=None, help="Learn a scale and a shift for each captured step.")
@click.option("--ema", type=click.FloatRange(0, 1, max_open=True), metavar="X", help="Store a running mean of weights.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, min_open=True),
    metavar="X",
    help="itda: unexplained share that makes an atom.",
)
@stream_option
@click.option("--cache-activations", type=PATH, metavar="DIR", help="Keep raw activations here.")
@click.option("--cache-budget", type=click.FloatRange(0, min_open=True), metavar="GB", help="The most they may take.")
@machine_options
@dry_run_option
@shared_options
def fit(
    layers: tuple[str, ...],
    kinds: tuple[str, ...],
    cache_activations: Path | None,
    cache_budget: float | None,
    stream: str | None,
    device: str | None,
    dtype: str | None,
    dry_run: bool,
    **request: Any,
) -> None:
    """Train dictionaries of layers on generated images.

    Several layers and kinds are fitted from one generation pass.
    """
    from autointerp.stages.fit.planning import CacheRequest, FitRequest
    from autointerp.stages.pipeline.dictionaries import fit_layers

    ctx = open_context(create=True, dry_run=dry_run, layers=layers, stream=stream, device=device, dtype=dtype)
    cache = None if cache_activations is None else CacheRequest(cache_activations, cache_budget)
    plan, rows = fit_layers(ctx, layers, [FitRequest(kind, **request) for kind in kinds or (None,)], cache, dry_run)
    report(plan, dry_run)
    for row in [] if dry_run else rows:
        click.echo(f"{row.name}: {row.num_latents} latents, FVU {cell(row.fvu)}, L0 {cell(row.l0)}")


@command()
@layers_option
@dictionaries_option
@click.option("--images", type=COUNT, metavar="N", help="Images to harvest.")
@click.option("--top", type=COUNT, metavar="N", help="Strongest crops of a feature to keep.")
@click.option("--workers", type=COUNT, metavar="N", help="Processes, one a GPU where there are any; through Ray.")
@click.option("--ray", metavar="ADDRESS", help="Ray cluster to work on.  [default: this machine]")
@machine_options
@dry_run_option
@shared_options
def harvest(
    layers: tuple[str, ...],
    dictionaries: tuple[str, ...],
    images: int | None,
    top: int | None,
    workers: int | None,
    ray: str | None,
    device: str | None,
    dtype: str | None,
    dry_run: bool,
) -> None:
    """Keep the crops on which each feature fires most.

    Several layers and dictionaries are harvested from one generation pass.
    """
    from autointerp.project.targets import resolve_targets
    from autointerp.stages.pipeline.dictionaries import harvest_layers

    given: dict[str, Any] = {"images": images, "crops": {"top": top}, "workers": workers, "ray": ray}
    ctx = open_context(create=True, dry_run=dry_run, layers=layers, device=device, dtype=dtype, **given)
    plan, rows = harvest_layers(ctx, resolve_targets(ctx, layers, dictionaries), dry_run)
    report(plan, dry_run)
    for row in [] if dry_run else rows:
        print_counts(ctx, row.name)


@command()
@layers_option
@dictionaries_option
@click.option("--images", type=COUNT, metavar="N", help="Held-out images to generate.")
@click.option(
    "--controls",
    type=click.Choice(["cheap", "all"]),
    default="cheap",
    show_default=True,
    help="Directions to compare with on shapes: random ones and activations, or k-means, PCA and two fits too.",
)
@click.option(
    "--concepts",
    type=click.Choice(["coarse", "fine"]),
    default="coarse",
    show_default=True,
    help="Whether features are held against the finer list of concepts too, on shapes.",
)
@said_by_option
@machine_options
@json_option
@dry_run_option
@shared_options
def evaluate(
    layers: tuple[str, ...],
    dictionaries: tuple[str, ...],
    images: int | None,
    controls: Literal["cheap", "all"],
    concepts: str,
    labeler: str | None,
    device: str | None,
    dtype: str | None,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Measure how well dictionaries rebuild their layers and, on shapes, features and labels against the truth.

    Several are measured on the same generated images. With --json: an object for one, a list for several.
    """
    from autointerp.project.targets import resolve_targets
    from autointerp.stages.evaluate.evaluating import EvaluationRequest, run_evaluate

    ctx = open_context(evaluate_images=images, device=device, dtype=dtype)
    request = EvaluationRequest(controls, concepts == "fine")
    plan, found = run_evaluate(ctx, resolve_targets(ctx, layers, dictionaries), dry_run, labeler, request)
    if dry_run:
        click.echo(plan.text)
    elif as_json:
        results = [one.as_dict() for one in found]
        print_json(results[0] if len(results) == 1 else results)
    else:
        for i, one in enumerate(found):
            click.echo("\n" if i else "", nl=False)
            print_evaluation(one.as_dict())

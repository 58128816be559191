"""The command line: parse, call one stage or query, print. Loads nothing heavy until a command needs it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autointerp.errors import AutointerpError, UsageError
from autointerp.options import (
    COUNT,
    SEED,
    Globals,
    PictureSize,
    Span,
    dictionaries_option,
    dictionary_option,
    dry_run_option,
    json_option,
    labeler_options,
    layer_option,
    layers_option,
    machine_options,
    note,
    open_context,
    print_json,
    report,
    revision_option,
    said_by_option,
    shared_options,
    short_lived,
    stream_option,
    workspace_path,
)
from autointerp.printing import (
    cell,
    print_comparison,
    print_evaluation,
    print_explained,
    print_feature,
    print_hits,
    print_labelers,
    print_status,
    table,
)
from autointerp.texts import visible
from autointerp.version import VERSION

if TYPE_CHECKING:
    from autointerp.stages.context import Context

_KINDS = "topk, batchtopk, jumprelu, itda, neurons, pca or random"
_METHODS = "embedding, detection, fuzzing, intruder, generative or shabalin"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, "--version", prog_name="autointerp", message="%(prog)s %(version)s")
@shared_options
def cli() -> None:
    """Label, score and search the features of dictionaries of diffusion models.

    \b
    autointerp label --layer mid
    autointerp search "red striped circle"
    autointerp export --layer mid -o out/

    Each command first brings about what it needs; what is up to date is not done again.
    """  # noqa: D301 (click wants the control character itself)


@cli.command()
@click.option(
    "--model",
    metavar="M",
    help="shapes, a pipeline's folder, a hub id, or a .safetensors or .ckpt file.  [default: shapes]",
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
    from autointerp.diffusion.prompts import AUTO, pin_prompts
    from autointerp.settings import Settings
    from autointerp.stages.context import Context
    from autointerp.workspace import Workspace

    path = workspace_path()
    settings = Settings.from_assignments(assignments, {k: v for k, v in given.items() if v is not None})
    if settings.prompts != AUTO and settings.images_dir is not None:
        raise UsageError("prompts and pictures exclude each other", "leave one of --prompts and --images-dir out")
    # Paths are those of this folder, not of the workspace.
    if settings.prompts != AUTO:
        settings = settings.changed(prompts=pin_prompts(settings.prompts, settings.loading.local_files_only))
    if settings.images_dir is not None:
        settings = settings.changed(images_dir=str(Path(settings.images_dir).expanduser().absolute()))
    if settings.model != "shapes":
        settings = settings.changed(model=_absolute(settings.model))
    if settings.loading.config is not None:
        settings = settings.changed(loading={"config": _absolute(settings.loading.config)})
    Context(Workspace(path, settings), None).check()
    Workspace.create(path, settings)
    click.echo(path)


@cli.command()
@click.option("--model", metavar="M", help="shapes, a pipeline's folder, a hub id, or a .safetensors or .ckpt file.")
@revision_option
@click.option("--all", "every", is_flag=True, help="Every hookpoint, not only those with an alias.")
@stream_option
@json_option
@shared_options
def layers(model: str | None, revision: str | None, every: bool, stream: str | None, as_json: bool) -> None:
    """List the layers of a model: alias, hookpoint, width, grid and stream."""
    from autointerp.diffusion.describe import describe_model
    from autointerp.diffusion.layers import list_layers, resolve_layer
    from autointerp.workspace import Workspace, has_settings

    size, offered, signal, loading = None, None, None, None
    if model is None:
        path = workspace_path()
        if has_settings(path):
            settings = Workspace(path).settings
            model, revision, size = settings.model, revision or settings.revision, settings.size
            offered, signal, loading = settings.layers, settings.signal, settings.loading
            stream = stream or settings.stream
    stream = stream or "image"
    description = describe_model(model or "shapes", revision, loading)
    if offered and not every:
        found = [resolve_layer(description, name, signal, size, stream) for name in offered]
    else:
        found = list_layers(description, size, every, stream)
    if as_json:
        print_json([layer.as_dict() for layer in found])
        return
    rows = [(x.alias or "-", x.hookpoint, str(x.d_in), f"{x.grid[0]}x{x.grid[1]}", x.stream, x.signal) for x in found]
    table(("alias", "hookpoint", "width", "grid", "stream", "signal"), rows)


@cli.command()
@json_option
@shared_options
def status(as_json: bool) -> None:
    """Show what the workspace holds and how far each dictionary is."""
    from autointerp.stages.read import read_status

    found = read_status(open_context())
    if as_json:
        print_json(found)
        return
    print_status(found)


@cli.command()
@layers_option
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help=f"{_KINDS}; more than once for several.")
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
@click.option("--cache-activations", type=click.Path(path_type=Path), metavar="DIR", help="Keep raw activations here.")
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
    from autointerp.stages.fit import CacheRequest, FitRequest
    from autointerp.stages.pipeline import fit_layers

    ctx = open_context(create=True, dry_run=dry_run, stream=stream, device=device, dtype=dtype)
    cache = None if cache_activations is None else CacheRequest(cache_activations, cache_budget)
    plan, rows = fit_layers(ctx, layers, [FitRequest(kind, **request) for kind in kinds or (None,)], cache, dry_run)
    report(plan, dry_run)
    for row in [] if dry_run else rows:
        click.echo(f"{row.name}: {row.num_latents} latents, FVU {cell(row.fvu)}, L0 {cell(row.l0)}")


@cli.command()
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
    from autointerp.stages.pipeline import harvest_layers

    given: dict[str, Any] = {"images": images, "crops": {"top": top}, "workers": workers, "ray": ray}
    ctx = open_context(create=True, dry_run=dry_run, device=device, dtype=dtype, **given)
    plan, rows = harvest_layers(ctx, _targets(ctx, layers, dictionaries), dry_run)
    report(plan, dry_run)
    for row in [] if dry_run else rows:
        click.echo(_counts_line(ctx, row.name))


def _layer_or_name(context: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """`label` needs its layer, but for a name that a person gives a feature."""
    # Options that are not given are processed last, so what is given is known.
    if value is None and not context.params.get("name"):
        raise click.MissingParameter(ctx=context, param=param)
    return value


@cli.command()
@click.option(
    "--layer", callback=_layer_or_name, metavar="L", help="Layer: early, mid, late, or a hookpoint.  [required]"
)
@dictionary_option
@labeler_options
@click.option("-n", "count", type=COUNT, metavar="N", help="Only the first N live features.")
@click.option("--feature", "features", multiple=True, metavar="I", help="Only this latent; repeatable.")
@click.option("--name", metavar="TEXT", help="Your own name for the one --feature DICTIONARY:INDEX.")
@click.option("--explanation", metavar="TEXT", help="Your own explanation, with --name.")
@click.option("--by", metavar="NAME", help="Who you are, with --name.")
@click.option("--retry-failed", is_flag=True, help="Try features again that failed.")
@click.option("--force", is_flag=True, help="Label again what has a label.")
@click.option("--no-score", is_flag=True, help="Leave the labels unscored.")
@click.option("--candidates", type=COUNT, metavar="N", help="Names a VLM gives each feature; the best is kept.")
@click.option("--clusters", type=COUNT, metavar="N", help="Part each feature's crops into up to N groups to name.")
@machine_options
@dry_run_option
@shared_options
def label(
    layer: str | None,
    dictionary: str | None,
    count: int | None,
    features: tuple[str, ...],
    name: str | None,
    explanation: str | None,
    by: str | None,
    retry_failed: bool,
    force: bool,
    no_score: bool,
    device: str | None,
    dtype: str | None,
    dry_run: bool,
    **labeler: Any,
) -> None:
    """Name the features of a layer, and score the names on images that the labeler did not see.

    With --name, one feature gets the name that you give it.
    """
    if name is not None:
        _label_by_hand(layer, dictionary, features, name, explanation, by, dry_run)
        return
    if explanation is not None or by is not None:
        raise UsageError("there is an explanation or a person, and no name", "give --name TEXT too")
    from autointerp.stages.label import LabelRequest
    from autointerp.stages.pipeline import LabelJob, label_layer

    assert layer is not None
    latents, dictionary = _latents(features, dictionary)
    ctx = open_context(create=True, dry_run=dry_run, device=device, dtype=dtype)
    request = LabelRequest(_labeler_request(**labeler), count, latents, retry_failed, force)
    done = label_layer(ctx, LabelJob(layer, dictionary, request, not no_score), dry_run)
    report(done.plan, dry_run)
    if not dry_run and done.dictionary is not None:
        click.echo(_counts_line(ctx, done.dictionary.name))


@cli.command()
@layer_option
@dictionary_option
@click.option("--method", "methods", multiple=True, metavar="M", help=f"{_METHODS}; repeatable.  [default: embedding]")
@click.option(
    "--judge",
    metavar="KIND",
    help="shapes-vlm, local-vlm or vlm; on shapes reader; to test the scores oracle, coin or always-yes.  "
    "[default: as the labeler]",
)
@labeler_options
@click.option("--retry-failed", is_flag=True, help="Score again what got no readable answer.")
@machine_options
@dry_run_option
@shared_options
def score(
    layer: str,
    dictionary: str | None,
    methods: tuple[str, ...],
    judge: str | None,
    retry_failed: bool,
    device: str | None,
    dtype: str | None,
    dry_run: bool,
    **labeler: Any,
) -> None:
    """Score the labels of a layer on held-out images."""
    from autointerp.stages.pipeline import ScoreJob, score_layer
    from autointerp.stages.score import check_methods

    ctx = open_context(device=device, dtype=dtype)
    request = _labeler_request(**labeler, judge=judge, ask_again=retry_failed)
    job = ScoreJob(layer, dictionary, check_methods(methods or ("embedding",)), request)
    done = score_layer(ctx, job, dry_run)
    report(done.plan, dry_run)
    if not dry_run and done.dictionary is not None:
        click.echo(_counts_line(ctx, done.dictionary.name))


@cli.command()
@click.argument("text", required=False)
@click.option("--image", type=click.Path(path_type=Path), metavar="FILE", help="Find what fits this picture.")
@click.option("--like", metavar="FEATURE", help="Find what is like this feature (DICTIONARY:INDEX).")
@click.option("--layer", metavar="L", help="Only this layer.  [default: all dictionaries]")
@click.option("--dictionary", metavar="X", help="Only this dictionary.")
@click.option("--labeler", metavar="NAME", help="Only what this labeler named, by its names.")
@click.option("--route", metavar="R", help="words, labels, crops, decoder (with --like) or all.  [default: all, fused]")
@click.option("-n", "count", type=COUNT, default=10, show_default=True, metavar="N", help="Features to show.")
@click.option("--min-score", type=click.FloatRange(0, 1), metavar="X", help="Only labels with at least this score.")
@click.option("--state", metavar="S", help="Only features that are live, dead or dense.")
@click.option("--step", type=click.IntRange(min=0), metavar="N", help="Only features that fire most at this step.")
@click.option("--density", type=Span(), metavar="A:B", help="Only features that fire in this share of cells.")
@click.option("--open", "opened", is_flag=True, help="Write a contact sheet of what is found, and open it.")
@json_option
@shared_options
@short_lived
def search(
    text: str | None,
    image: Path | None,
    like: str | None,
    route: str | None,
    count: int,
    opened: bool,
    as_json: bool,
    **filters: Any,
) -> None:
    """Find features by concept text, by a picture, or by a feature they are like."""
    from autointerp.stages.search import Filters, Question, check_routes, run_search

    ctx = open_context()
    question = Question(text, image, like)
    hits = run_search(ctx, question, Filters(**filters), check_routes(route), count)
    if not hits:
        note(f"no feature fits {question.said}")
    if opened and hits:
        from autointerp.stages.sheets import write_hits

        sheet = write_hits(ctx, hits, f"Search for {question.said}")
        note(f"wrote {sheet}")
        if click.launch(str(sheet)):
            note("no program here opens it")
    if as_json:
        print_json([hit.as_dict() for hit in hits])
    elif hits:
        from autointerp.terminal import picture_printer

        show = picture_printer()
        if show is None:
            print_hits(hits)
            return
        from autointerp.stages.sheets import strips_of

        print_hits(hits, show, strips_of(ctx, hits))


@cli.command()
@click.argument("feature")
@click.option("--crops", type=click.Path(path_type=Path), metavar="DIR", help="Write the marked crops here as PNG.")
@said_by_option
@json_option
@shared_options
def show(feature: str, crops: Path | None, labeler: str | None, as_json: bool) -> None:
    """Show a feature (DICTIONARY:INDEX): labels side by side, scores, and where it fires."""
    from autointerp.stages.read import read_feature, write_crops

    ctx = open_context()
    found = read_feature(ctx, feature, labeler)
    if crops is not None:
        count = write_crops(ctx, feature, crops)
        note(f"wrote {count} crops to {crops}")
    if as_json:
        print_json(found)
        return
    print_feature(found)


@cli.command()
@click.argument("source", metavar="IMAGE|PROMPT")
@click.option("--layer", "layers", multiple=True, metavar="L", help="Only this layer; repeatable.  [default: all]")
@dictionaries_option
@click.option("-n", "count", type=COUNT, default=10, show_default=True, metavar="N", help="Features to show.")
@click.option("--all", "unnamed", is_flag=True, help="Also features without a name.")
@click.option("--seed", type=SEED, metavar="S", help="Seed of the noise.  [default: the workspace's]")
@click.option("--invert", is_flag=True, help="Invert a picture with the scheduler, in place of noising it.")
@said_by_option
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write an overlaid picture (PNG).")
@machine_options
@json_option
@shared_options
def explain(
    source: str,
    layers: tuple[str, ...],
    dictionaries: tuple[str, ...],
    out: Path | None,
    device: str | None,
    dtype: str | None,
    labeler: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Show which labeled features are active in one picture, and where.

    A prompt is generated with the workspace's model; the file of a picture is read as real pictures are.
    """
    from autointerp.stages.explain import ExplainRequest, explain as explain_picture
    from autointerp.stages.labeler_names import chosen_labelers
    from autointerp.stages.steer import writer

    ctx = open_context(device=device, dtype=dtype)
    write = None if out is None else writer(out)
    if dictionaries and not layers:
        layers = tuple(dict.fromkeys(ctx.dictionary_named(name).layer for name in dictionaries))
    chosen = chosen_labelers(ctx, labeler)
    request = ExplainRequest(source, _targets(ctx, layers, dictionaries), labelers=chosen, **given)
    found = explain_picture(ctx, request)
    if write is not None:
        note(f"wrote {write(found.overlay())}")
    if as_json:
        print_json(found.as_dict())
    elif found.features:
        print_explained(found)
    else:
        note("no labeled feature is active")


@cli.command("import")
@click.argument("path", metavar="PATH|hf:REPO[/SUB]")
@click.option("--layer", metavar="L", help="Layer: early, mid, late, or a hookpoint.  [default: what the files say]")
@click.option(
    "--format",
    "form",
    default="auto",
    show_default=True,
    metavar="F",
    help="bundle, saelens, sparsify, dictionary-learning, sdxl-unbox, itda, overcomplete or saev.",
)
@click.option("--signal", metavar="S", help="output or update.  [default: what the files say]")
@stream_option
@click.option("--name", metavar="X", help="Name of the dictionary.")
@click.option("-k", "k", type=COUNT, metavar="K", help="Latents that fire in a token, for files that do not say.")
@dry_run_option
@shared_options
def import_(
    path: str,
    layer: str | None,
    form: str,
    signal: str | None,
    stream: str | None,
    name: str | None,
    k: int | None,
    dry_run: bool,
) -> None:
    """Take in a dictionary that another tool or another workspace made, with its labels.

    The format is seen from the contents. What had to be assumed is said. Files that could run code are not opened.
    """
    from autointerp.stages.importing import read_import, run_import, settings_of
    from autointerp.workspace import Workspace, has_settings

    # Read before a workspace is made: nothing is left behind by files that cannot be read.
    local = has_settings(workspace_path()) and Workspace(workspace_path()).settings.loading.local_files_only
    found = read_import(path, form, k, local)
    ctx = open_context(create=True, dry_run=dry_run, settings=settings_of(found))
    plan = run_import(ctx, found, layer, signal, name, dry_run, stream)
    if dry_run:
        click.echo(plan.step.text)
        return
    if not plan.new:
        note("nothing to do: this dictionary is there already")
    named = f", {plan.labels} labels" if plan.labels else ""
    click.echo(f"{plan.name}: {plan.config['kind']}, {plan.config['latents']} latents, of {found.format}{named}")


@cli.command()
@layers_option
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Where it goes.")
@dictionaries_option
@click.option(
    "--format",
    "form",
    default="bundle",
    show_default=True,
    metavar="F",
    help="bundle, saelens, sparsify, dictionary-learning, neuronpedia, jsonl, parquet or html.",
)
@click.option("--min-score", type=click.FloatRange(0, 1), metavar="X", help="Only labels with at least this score.")
@said_by_option
@click.option("--push", metavar="REPO", help="Also upload it to this repository of the Hugging Face hub.")
@click.option("--private", is_flag=True, help="A repository that --push makes is private.")
@shared_options
def export(
    layers: tuple[str, ...],
    dictionaries: tuple[str, ...],
    out: Path,
    form: str,
    private: bool,
    labeler: str | None,
    **given: Any,
) -> None:
    """Write a dictionary with its labels.

    html is a gallery that a browser opens from the folder; it takes several layers. The others take one.
    """
    from autointerp.stages.export import ExportRequest, run_export
    from autointerp.stages.labeler_names import chosen_labelers

    ctx = open_context()
    request = ExportRequest(out, form, labelers=chosen_labelers(ctx, labeler), private=private, **given)
    done = run_export(ctx, _targets(ctx, layers, dictionaries), request)
    note(f"{done.labels} labels")
    click.echo(done.path)
    if done.page is not None:
        click.echo(done.page)


@cli.command()
@layers_option
@dictionaries_option
@click.option("--images", type=COUNT, metavar="N", help="Held-out images to generate.")
@said_by_option
@machine_options
@json_option
@dry_run_option
@shared_options
def evaluate(
    layers: tuple[str, ...],
    dictionaries: tuple[str, ...],
    images: int | None,
    labeler: str | None,
    device: str | None,
    dtype: str | None,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Measure how well dictionaries rebuild their layers and, on shapes, features and labels against the truth.

    Several are measured on the same generated images. With --json: an object for one, a list for several.
    """
    from autointerp.stages.evaluate import run_evaluate

    ctx = open_context(evaluate_images=images, device=device, dtype=dtype)
    plan, found = run_evaluate(ctx, _targets(ctx, layers, dictionaries), dry_run, labeler)
    if dry_run:
        click.echo(plan.text)
    elif as_json:
        print_json(found[0] if len(found) == 1 else found)
    else:
        for i, one in enumerate(found):
            click.echo("\n" if i else "", nl=False)
            print_evaluation(one)


@cli.command()
@click.argument("feature")
@click.option(
    "--prompt", "prompts", required=True, multiple=True, metavar="TEXT", help="A row of pictures; repeatable."
)
@click.option(
    "--strength",
    "strengths",
    type=float,
    multiple=True,
    metavar="X",
    help="How many of its mean activations are added; below 0 suppresses; repeatable.  [default: 4]",
)
@click.option("--ablate", is_flag=True, help="Also a picture without the feature.")
@click.option("--steps", metavar="A:B", help="Denoising steps, 0-based, B exclusive.  [default: all]")
@click.option("--box", metavar="R0,C0,R1,C1", help="Cells of the layer's grid, ends exclusive.  [default: all]")
@click.option("--seed", type=SEED, metavar="S", help="Seed of the pictures.  [default: the workspace's]")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The PNG to write.")
@machine_options
@shared_options
def steer(
    feature: str,
    prompts: tuple[str, ...],
    strengths: tuple[float, ...],
    ablate: bool,
    steps: str | None,
    box: str | None,
    seed: int | None,
    out: Path,
    device: str | None,
    dtype: str | None,
) -> None:
    """Change a feature (DICTIONARY:INDEX) while pictures are generated: before and after, side by side."""
    from autointerp.stages.steer import SteerRequest, parse_box, parse_steps, steer_feature, writer

    ctx = open_context(device=device, dtype=dtype)
    write = writer(out)
    where = (parse_steps(steps, ctx.generation.steps), parse_box(box))
    picture = steer_feature(ctx, feature, SteerRequest(prompts, strengths, ablate, *where, seed))
    click.echo(write(picture))


@cli.group()
@shared_options
def labels() -> None:
    """Look at labels by labeler, write them to a file, and take them in."""


@labels.command("list")
@json_option
@shared_options
def labels_list(as_json: bool) -> None:
    """List labelers with how much they said, their mean scores, and how many of their labels count."""
    from autointerp.stages.given_labels import list_labelers

    found = list_labelers(open_context())
    if as_json:
        print_json(found)
        return
    print_labelers(found)


@labels.command("import")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    default="auto",
    show_default=True,
    metavar="F",
    help="jsonl, csv, delphi, clip-dissect, multimodal-sae or flux-saes.",
)
@click.option("--dictionary", metavar="X", help="Whose features are meant by numbers alone.")
@click.option("--by", default="", metavar="NAME", help="Whose labels those are that name no labeler.")
@click.option("--skip-bad", is_flag=True, help="Leave out what is refused, and take the others.")
@dry_run_option
@shared_options
def labels_import(path: Path, form: str, dictionary: str | None, by: str, skip_bad: bool, dry_run: bool) -> None:
    """Take in labels from a CSV or JSON lines file, or from a file or folder of another tool.

    Columns: feature (DICTIONARY:INDEX) and name; explanation, confidence and labeler if you like. All of them are
    taken, or none. What the file has no labeler for is yours, and counts before what any model says.
    """
    from autointerp.stages.given_labels import import_labels, skipped

    taken = import_labels(open_context(), path, form, dictionary, by, skip_bad, dry_run)
    would = "would be " if dry_run else ""
    for name, count in taken.labels.items():
        click.echo(f"{name}: {count} labels {would}taken, of {taken.format}")
    if taken.there:
        note(f"{taken.there} are there already")
    if taken.refused:
        raise skipped(taken)


@labels.command("export")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--layer", metavar="L", help="Only this layer.  [default: all dictionaries]")
@dictionary_option
@said_by_option
@shared_options
def labels_export(path: Path, layer: str | None, dictionary: str | None, labeler: str | None) -> None:
    """Write labels to a .csv or .jsonl file, which can be edited and imported."""
    from autointerp.stages.given_labels import export_labels

    note(f"{export_labels(open_context(), path, layer, dictionary, labeler)} labels")
    click.echo(path)


@cli.command()
@click.argument("one", metavar="DICTIONARY")
@click.argument("other", metavar="DICTIONARY")
@json_option
@shared_options
def compare(one: str, other: str, as_json: bool) -> None:
    """Compare two dictionaries: shared atoms of ITDA, and latents that point the same way."""
    from autointerp.stages.compare import run_compare

    found = run_compare(open_context(), one, other)
    if as_json:
        print_json(found)
        return
    print_comparison(found)


@cli.command()
@click.argument("dictionary")
@shared_options
def rm(dictionary: str) -> None:
    """Delete a dictionary with its features, crops, labels and indexes."""
    from autointerp.stages.remove import remove_dictionary

    remove_dictionary(open_context(), dictionary)
    note(f"removed {dictionary}")


@cli.group()
@shared_options
def db() -> None:
    """Look after the database."""


@db.command("path")
@shared_options
def db_path() -> None:
    """Print where the database is; a password in its URL is left out."""
    from autointerp.db.engine import Database

    # Not opened: it is told where no server answers, too.
    click.echo(Database(open_context().workspace.database_url).where)


@db.command("upgrade")
@shared_options
def db_upgrade() -> None:
    """Bring the database to the newest schema."""
    click.echo(open_context().db.revision())


@db.command("check")
@shared_options
def db_check() -> None:
    """Check that the workspace is whole: exit 1 with a line for each thing that is wrong.

    Looks at the database itself, at what its rows mean (pictures, activation maps, checkpoints, hashes, splits, ranks),
    at the weights and at the indexes. Only reads.
    """
    from autointerp.stages.check import run_check

    problems = run_check(open_context())
    for problem in problems:
        click.echo(problem)
    if problems:
        raise AutointerpError(
            f"{len(problems)} problems found", "restore a backup, or `rm` and make again what is hurt"
        )
    note("the workspace is whole")


@db.command("backup")
@click.argument("path", type=click.Path(path_type=Path))
@shared_options
def db_backup(path: Path) -> None:
    """Copy the database into the SQLite file PATH, safely while it is in use.

    The copy is one moment of it, whole or not there at all. It can take the place of autointerp.db, whichever kind of
    database it is a copy of.
    """
    open_context().db.backup(path)
    click.echo(path)


@db.command("copy")
@click.argument("target", metavar="URL|PATH")
@shared_options
def db_copy(target: str) -> None:
    """Move the database: copy all rows into an empty PostgreSQL database or a new SQLite file.

    Nothing in the old one changes. The line that is printed makes autointerp.toml name the new one.
    """
    from autointerp.stages.move import run_copy

    line = run_copy(open_context(), target)
    note("copied; put this line into autointerp.toml, above the first [table]:")
    click.echo(line)


def _absolute(name: str) -> str:
    """The whole path of what lies on this machine; a hub id stays as it is."""
    path = Path(name).expanduser()
    return str(path.absolute()) if path.exists() else name


def _labeler_request(
    labeler: str | None,
    vlm: str | None,
    base_url: str | None,
    api_key_env: str | None,
    jobs: int,
    max_cost: float | None,
    max_calls: int | None,
    batch: bool,
    **more: Any,
) -> Any:
    from autointerp.stages.labelers import LabelerRequest

    return LabelerRequest(labeler, vlm, base_url, api_key_env, jobs, max_calls, max_cost, batch=batch, **more)


def _latents(features: Sequence[str], dictionary: str | None) -> tuple[tuple[int, ...], str | None]:
    """The latents meant by `I` or `DICTIONARY:I`, and the dictionary that they name, if any."""
    latents = []
    for feature in features:
        name, colon, index = feature.rpartition(":")
        if not index.isdecimal() or len(index) > 9 or bool(colon) != bool(name):
            raise UsageError(f"{feature!r} is no feature", "give --feature its number, or DICTIONARY:INDEX")
        if name and dictionary not in (None, name):
            raise UsageError(f"{feature} is of another dictionary than {dictionary}", "label them one by one")
        dictionary = name or dictionary
        latents.append(int(index))
    return tuple(latents), dictionary


def _label_by_hand(
    layer: str | None,
    dictionary: str | None,
    features: Sequence[str],
    name: str,
    explanation: str | None,
    by: str | None,
    dry_run: bool,
) -> None:
    """One feature gets a person's name; the dictionary may be given in any of the usual ways."""
    from autointerp.stages.given_labels import name_feature
    from autointerp.stages.read import find_dictionary

    latents, dictionary = _latents(features, dictionary)
    if len(latents) != 1:
        raise UsageError("a name is given to one feature", "give --feature DICTIONARY:INDEX, once")
    if dictionary is None and layer is None:
        raise UsageError(f"feature {latents[0]} is of no dictionary", "write --feature DICTIONARY:INDEX")
    ctx = open_context()
    feature = f"{find_dictionary(ctx, layer, dictionary).name}:{latents[0]}"
    taken = name_feature(ctx, feature, name, explanation or "", by or "", dry_run)
    if taken.there:
        note("nothing to do: that is its name already")
    elif dry_run:
        click.echo(f"{feature} would be named")
    else:
        click.echo(f"{feature} is named")


def _targets(ctx: Context, layers: Sequence[str], dictionaries: Sequence[str]) -> list[tuple[str, str | None]]:
    """(layer, dictionary or None) of each one meant: the named ones, each at its layer, else one a layer."""
    if not dictionaries:
        return [(layer, None) for layer in dict.fromkeys(layers)]
    by_name = {ctx.layer(layer).name: layer for layer in layers}
    rows = [ctx.dictionary_named(name) for name in dict.fromkeys(dictionaries)]
    for row in rows:
        if row.layer not in by_name:
            raise UsageError(f"{row.name} belongs to layer {row.layer}, not {', '.join(layers)}", "name that layer")
    return [(by_name[row.layer], row.name) for row in rows]


def _counts_line(ctx: Context, name: str) -> str:
    from autointerp.stages.read import read_status

    row = next(r for r in read_status(ctx)["dictionaries"] if r["dictionary"] == name)
    parts = [f"{row['live']} live features", f"{row['crops']} crops of {row['images']} images"]
    if row["labels"] or row["uninterpretable"]:
        parts.append(f"{row['labels']} labeled, {row['uninterpretable']} uninterpretable, {row['failed']} failed")
    return f"{name}: " + ", ".join(parts)


def main(arguments: list[str] | None = None) -> None:
    """Run a command; every error is one line on stderr and an exit code."""
    from autointerp.db.errors import DatabaseError

    state = Globals()
    for noisy in ("torchao", "torch.utils._pytree"):
        # They warn of each other as soon as diffusers finds them installed.
        logging.getLogger(noisy).setLevel(logging.ERROR)
    try:
        outcome = cli.main(arguments, prog_name="autointerp", standalone_mode=False, obj=state)
        sys.exit(outcome if isinstance(outcome, int) else 0)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(2)
    except click.ClickException as error:
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "autointerp"
        _fail(f"{' '.join(error.format_message().split())} (see `{where} --help`)", error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted: what was finished is kept, the same command goes on", 130)
    except (AutointerpError, DatabaseError) as error:
        if state.verbose:
            raise
        _fail(str(error), getattr(error, "exit_code", 1))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        import errno

        full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if state.verbose or error.errno not in (*full, errno.EACCES, errno.EROFS):
            raise
        next_step = "free some space" if error.errno in full else "check its permissions"
        _fail(f"{error.strerror}: {error.filename or 'the disk'}; {next_step}, then run it again", 1)


def _fail(text: str, code: int) -> None:
    click.echo(visible(f"error: {text}" if code != 130 else text), err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()

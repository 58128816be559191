"""Commands that look: at layers, the workspace, features and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autointerp.commands.calls import note, open_context, print_json, short_lived, workspace_path
from autointerp.commands.declaring import command
from autointerp.commands.options import (
    COUNT,
    PATH,
    SEED,
    Span,
    dictionaries_option,
    json_option,
    machine_options,
    min_score_option,
    note_floor,
    revision_option,
    said_by_option,
    shared_options,
    stream_option,
)
from autointerp.commands.printing.dictionaries import print_status
from autointerp.commands.printing.features import print_explained, print_feature, print_hits, print_words
from autointerp.commands.printing.tables import table

if TYPE_CHECKING:
    from autointerp.db.models import DictionaryRow, IndexKind
    from autointerp.search.vector_index import VectorIndex


@command()
@click.option(
    "--model",
    metavar="M",
    help="shapes-turbo, shapes, a pipeline's folder, a hub id, or a .safetensors or .ckpt file.  [default: the "
    "workspace's, else shapes-turbo]",
)
@revision_option
@click.option("--all", "every", is_flag=True, help="Every hookpoint, not only those with an alias.")
@stream_option
@json_option
@shared_options
def layers(model: str | None, revision: str | None, every: bool, stream: str | None, as_json: bool) -> None:
    """List the layers of a model: alias, hookpoint, width, grid and stream."""
    from autointerp.diffusion.describe import describe_model
    from autointerp.diffusion.layers import list_layers, resolve_layer
    from autointerp.project.workspace import WorkspaceFolder, has_settings
    from autointerp.worlds import DEFAULT_MODEL

    size, offered, signal, loading = None, None, None, None
    if model is None:
        path = workspace_path()
        if has_settings(path):
            settings = WorkspaceFolder(path).settings
            model, revision, size = settings.model, revision or settings.revision, settings.size
            offered, signal, loading = settings.layers, settings.signal, settings.loading
            stream = stream or settings.stream
    stream = stream or "image"
    description = describe_model(model or DEFAULT_MODEL, revision, loading)
    if offered and not every:
        found = [resolve_layer(description, name, signal, size, stream) for name in offered]
    else:
        found = list_layers(description, size, every, stream)
    if as_json:
        print_json([layer.as_dict() for layer in found])
        return
    rows = [(x.alias or "-", x.hookpoint, str(x.d_in), f"{x.grid[0]}x{x.grid[1]}", x.stream, x.signal) for x in found]
    table(("alias", "hookpoint", "width", "grid", "stream", "signal"), rows)


@command()
@json_option
@shared_options
@short_lived
def status(as_json: bool) -> None:
    """Show what the workspace holds and how far each dictionary is."""
    from autointerp.views.status import read_status

    found = read_status(open_context())
    if as_json:
        print_json(found.as_dict())
        return
    print_status(found)


@command()
@click.argument("text", required=False)
@click.option("--image", type=PATH, metavar="FILE", help="Find what fits this picture.")
@click.option("--like", metavar="FEATURE", help="Find what is like this feature (DICTIONARY:INDEX).")
@click.option("--layer", metavar="L", help="Only this layer.  [default: all dictionaries]")
@click.option("--dictionary", metavar="X", help="Only this dictionary.")
@click.option("--labeler", metavar="NAME", help="Only what this labeler named, by its names.")
@click.option("--route", metavar="R", help="words, labels, crops, decoder (with --like) or all.  [default: all, fused]")
@click.option("-n", "count", type=COUNT, default=10, show_default=True, metavar="N", help="Features to show.")
@min_score_option
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
    from autointerp.views.search.question import SearchQuestion
    from autointerp.views.search.route import check_routes
    from autointerp.views.search.scope import SearchFilters
    from autointerp.views.search.searcher import Searcher

    ctx = open_context()
    note_floor(filters["min_score"], ctx)
    question = SearchQuestion(text, image, like)

    def open_index(dictionary: DictionaryRow, kind: IndexKind) -> VectorIndex:
        # Imported on use: a search by words opens no index.
        from autointerp.stages.index.opening import fresh_indexes

        return fresh_indexes(ctx)(dictionary, kind)

    searcher = Searcher(ctx, open_index)
    hits = searcher.find(question, SearchFilters(**filters), check_routes(route), count)
    if not hits:
        note(f"no feature fits {question.phrase}")
    if opened and hits:
        from autointerp.views.sheets import write_hits

        sheet = write_hits(ctx, hits, f"Search for {question.phrase}")
        note(f"wrote {sheet}")
        if click.launch(str(sheet)):
            note("no program here opens it")
    if as_json:
        print_json([hit.as_dict() for hit in hits])
    elif hits:
        from autointerp.commands.terminal import picture_printer

        show = picture_printer()
        if show is None:
            print_hits(hits)
            return
        from autointerp.views.sheets import strips_of

        print_hits(hits, show, strips_of(ctx, hits))


@command()
@click.argument("feature")
@click.option("--crops", type=PATH, metavar="DIR", help="Write the marked crops here as PNG.")
@click.option("--link", is_flag=True, help="Print the address of its page in `autointerp serve`, and nothing else.")
@said_by_option
@json_option
@shared_options
@short_lived
def show(feature: str, crops: Path | None, link: bool, labeler: str | None, as_json: bool) -> None:
    """Show a feature (DICTIONARY:INDEX): labels side by side, scores, and where it fires."""
    from autointerp.views.feature import read_feature

    ctx = open_context()
    found = read_feature(ctx, feature, labeler)
    if link:
        from autointerp.web.links import SERVER, feature_link

        click.echo(SERVER + feature_link(found.feature))
        return
    if crops is not None:
        from autointerp.views.pictures import write_crops

        count = write_crops(ctx, feature, crops)
        note(f"wrote {count} crops to {crops}")
    if as_json:
        print_json(found.as_dict())
        return
    print_feature(found)


@command()
@click.argument("source", metavar="IMAGE|PROMPT")
@click.option("--layer", "layers", multiple=True, metavar="L", help="Only this layer; repeatable.  [default: all]")
@dictionaries_option
@click.option("-n", "count", type=COUNT, default=10, show_default=True, metavar="N", help="Features to show.")
@click.option("--all", "unnamed", is_flag=True, help="Also features without a name.")
@click.option("--seed", type=SEED, metavar="S", help="Seed of the noise.  [default: the workspace's]")
@click.option("--invert", is_flag=True, help="Invert a picture with the scheduler, in place of noising it.")
@click.option("--words", is_flag=True, help="Also where the model attends to each word of the prompt.")
@said_by_option
@click.option("-o", "--out", type=PATH, metavar="FILE", help="Write an overlaid picture (PNG).")
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
    from autointerp.crops.png import PngFile
    from autointerp.project.labeler_names import chosen_labelers
    from autointerp.project.targets import resolve_targets
    from autointerp.views.explain import ExplainRequest, explain as explain_picture

    ctx = open_context(device=device, dtype=dtype)
    file = None if out is None else PngFile(out)
    if dictionaries and not layers:
        layers = tuple(dict.fromkeys(ctx.dictionary_named(name).layer for name in dictionaries))
    chosen = chosen_labelers(ctx, labeler)
    request = ExplainRequest(source, resolve_targets(ctx, layers, dictionaries), labelers=chosen, **given)
    found = explain_picture(ctx, request)
    if file is not None:
        note(f"wrote {file.write(found.overlay())}")
    if as_json:
        print_json(found.as_dict())
        return
    if found.features:
        print_explained(found)
    else:
        note("no labeled feature is active")
    if found.words is not None:
        print_words(found.words)

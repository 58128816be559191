"""Commands that take dictionaries in and write them out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from autointerp.commands.calls import note, open_context, progress_of_call, workspace_path
from autointerp.commands.declaring import command
from autointerp.commands.options import (
    COUNT,
    PATH,
    dictionaries_option,
    dry_run_option,
    layers_option,
    min_score_option,
    note_floor,
    said_by_option,
    shared_options,
    stream_option,
)
from autointerp.transfer.exporting.formats import FORMATS as EXPORT_FORMATS


@command("import")
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
@click.option(
    "--check",
    type=click.IntRange(min=0),
    metavar="N",
    help="Images on which to measure how well it rebuilds the layer; 0: none.  [default: 4 on an accelerator, else 0]",
)
@dry_run_option
@shared_options
def import_(
    path: str,
    form: str,
    k: int | None,
    dry_run: bool,
    **given: Any,
) -> None:
    """Take in a dictionary that another tool or another workspace made, with its labels.

    The format is seen from the contents. What had to be assumed is said. Files that could run code are not opened.
    PATH#PART names one of several dictionaries in a file.
    """
    from autointerp.project.workspace import WorkspaceFolder, has_settings
    from autointerp.transfer.importing.placement import ImportRequest
    from autointerp.transfer.importing.reading import read_import, settings_of
    from autointerp.transfer.importing.storing import run_import

    # Read before a workspace is made: nothing is left behind by files that cannot be read.
    local = has_settings(workspace_path()) and WorkspaceFolder(workspace_path()).settings.loading.local_files_only
    files = read_import(path, form, k, local, progress_of_call())
    ctx = open_context(create=True, dry_run=dry_run, settings=settings_of(files))
    plan = run_import(ctx, files, ImportRequest(**given), dry_run)
    if dry_run:
        click.echo(plan.step.text)
        return
    if not plan.is_new:
        note("nothing to do: this dictionary is there already")
    named = f", {plan.labels} labels" if plan.labels else ""
    dictionary = files.imported.dictionary
    click.echo(f"{plan.name}: {dictionary.kind}, {dictionary.num_latents} latents, of {files.format}{named}")


@command()
@layers_option
@click.option("-o", "--out", required=True, type=PATH, metavar="DIR", help="Where it goes.")
@dictionaries_option
@click.option(
    "--format",
    "form",
    default="bundle",
    show_default=True,
    metavar="F",
    help=f"{EXPORT_FORMATS.listed()}.",
)
@min_score_option
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
    from autointerp.project.labeler_names import chosen_labelers
    from autointerp.project.targets import resolve_targets
    from autointerp.transfer.exporting.export import run_export
    from autointerp.transfer.exporting.formats import ExportRequest

    ctx = open_context()
    note_floor(given["min_score"], ctx)
    request = ExportRequest(out, form, labelers=chosen_labelers(ctx, labeler), private=private, **given)
    done = run_export(ctx, resolve_targets(ctx, layers, dictionaries), request)
    note(f"{done.labels} labels")
    click.echo(done.path)
    if done.page is not None:
        click.echo(done.page)

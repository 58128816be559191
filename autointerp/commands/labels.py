"""Commands on labels as such: listed, taken in from files, written to files."""

from __future__ import annotations

from pathlib import Path

import click

from autointerp.commands.calls import note, open_context, print_json, short_lived
from autointerp.commands.declaring import group
from autointerp.commands.options import (
    PATH,
    dictionary_option,
    dry_run_option,
    json_option,
    said_by_option,
    shared_options,
)
from autointerp.commands.printing.dictionaries import print_labelers
from autointerp.errors import UsageError


@group()
@shared_options
def labels() -> None:
    """Look at labels by labeler, write them to a file, and take them in."""


@labels.command("list")
@click.option("--layer", metavar="L", help="List this layer's labels, a feature a line, in place of labelers.")
@dictionary_option
@said_by_option
@json_option
@shared_options
@short_lived
def labels_list(layer: str | None, dictionary: str | None, labeler: str | None, as_json: bool) -> None:
    """List labelers with how much they said, their mean scores, and how many of their labels count.

    With --layer or --dictionary it lists that dictionary's labels, with what each was told apart from and by what.
    """
    ctx = open_context()
    if layer is not None or dictionary is not None:
        from autointerp.commands.printing.dictionaries import print_labels
        from autointerp.project.targets import find_dictionary, resolve_target
        from autointerp.views.label_list import list_labels

        named = None if layer is None else find_dictionary(ctx, resolve_target(ctx, layer, dictionary))
        said = list_labels(ctx, named or ctx.dictionary_named(dictionary or ""), labeler)
        if as_json:
            print_json([one.as_dict() for one in said])
        else:
            print_labels(said)
        return
    if labeler is not None:
        raise UsageError("--labeler chooses among the labels of a dictionary", "name it with --layer or --dictionary")
    from autointerp.views.labelers import list_labelers

    found = list_labelers(ctx)
    if as_json:
        print_json([summary.as_dict() for summary in found])
        return
    print_labelers(found)


@labels.command("import")
@click.argument("path", metavar="FILE", type=PATH)
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
    from autointerp.transfer.label_files.storing import LabelImportRequest, import_labels

    request = LabelImportRequest(form, dictionary, by, skip_bad, dry_run)
    result = import_labels(open_context(), path, request)
    would = "would be " if dry_run else ""
    for name, count in result.stored.items():
        click.echo(f"{name}: {count} labels {would}taken, of {result.format}")
    if result.known:
        note(f"{result.known} are there already")
    if result.refused:
        raise result.skipped()


@labels.command("export")
@click.argument("path", metavar="FILE", type=PATH)
@click.option("--layer", metavar="L", help="Only this layer.  [default: all dictionaries]")
@dictionary_option
@said_by_option
@shared_options
def labels_export(path: Path, layer: str | None, dictionary: str | None, labeler: str | None) -> None:
    """Write labels to a .csv or .jsonl file, which can be edited and imported."""
    from autointerp.project.targets import find_dictionary, resolve_target
    from autointerp.transfer.label_files.writing import export_labels

    ctx = open_context()
    if dictionary is None and layer is not None:
        dictionary = find_dictionary(ctx, resolve_target(ctx, layer)).name
    note(f"{export_labels(ctx, path, dictionary, labeler)} labels")
    click.echo(path)

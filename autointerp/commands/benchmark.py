"""Commands that give out tasks of shapes, and hold anyone's answers against the truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autointerp.commands.calls import note, open_context, print_json
from autointerp.commands.declaring import group
from autointerp.commands.options import COUNT, PATH, SEED, combined, dictionary_option, json_option, shared_options
from autointerp.errors import UsageError
from autointerp.files import whole_file
from autointerp.texts import to_json

if TYPE_CHECKING:
    from autointerp.benchmark.folder import BenchmarkKind, TaskMaker
    from autointerp.benchmark.recipe import Benchmark, BenchmarkRecipe

RATE = click.FloatRange(0, 1, min_open=True, max_open=True)


@group()
@shared_options
def benchmark() -> None:
    """Tasks for any labeler or score, whose answers are the truth of shapes."""


task_options = combined(
    click.option("-o", "--out", type=PATH, metavar="DIR", help="Write tasks into this new folder."),
    click.option("--tasks", type=PATH, metavar="DIR", help="The folder of the tasks that answers are of."),
    click.option("--score", type=PATH, metavar="FILE", help="Score the answers in this file of JSON lines."),
    click.option("--results", type=PATH, metavar="FILE", help="Also write the results to this JSON file."),
    click.option(
        "--answers",
        type=PATH,
        metavar="FILE",
        help="With -o, write the truth to this file, and into the folder nothing it could be made from. "
        "With --score, read it.",
    ),
    click.option("--seed", type=SEED, default=0, show_default=True, metavar="S", help="Seed of pictures and units."),
    click.option("--shown", type=COUNT, default=500, show_default=True, metavar="N", help="Pictures in the folder."),
    click.option(
        "--images", type=COUNT, default=1000, show_default=True, metavar="N", help="Other pictures, for the answers."
    ),
    click.option(
        "--each", type=COUNT, default=4, show_default=True, metavar="N", help="Units of each form and base rate."
    ),
    click.option(
        "--base-rate",
        "base_rates",
        type=RATE,
        multiple=True,
        default=(0.01, 0.04, 0.15),
        show_default=True,
        metavar="X",
        help="Share of cells in which a unit is active; repeatable.",
    ),
    click.option(
        "--noise",
        "noises",
        type=RATE,
        multiple=True,
        default=(0.1, 0.3),
        show_default=True,
        metavar="X",
        help="Share of a noisy unit's cells that is moved elsewhere; repeatable.",
    ),
    click.option("--layer", metavar="L", help="With -o, take the workspace's pictures, and this layer's features too."),
    dictionary_option,
    click.option(
        "--features",
        type=COUNT,
        default=100,
        show_default=True,
        metavar="N",
        help="Features of the layer, drawn, at most.",
    ),
    click.option("--crops", type=COUNT, default=20, show_default=True, metavar="N", help="Crops a unit, at most."),
    json_option,
)


@benchmark.command()
@task_options
@shared_options
def naming(as_json: bool, **options: Any) -> None:
    """Write units to name (-o), or score names of them (--tasks and --score)."""
    if _writes("naming", options):
        _write("naming", options)
        return
    from autointerp.benchmark.naming import score_names
    from autointerp.commands.printing.benchmark import print_naming

    results = score_names(options["tasks"], options["score"], options["answers"])
    _show(results, options["results"], as_json, print_naming)


@benchmark.command()
@task_options
@shared_options
def scoring(as_json: bool, **options: Any) -> None:
    """Write labels of units, right and broken ones (-o), or score values of them (--tasks and --score)."""
    from autointerp.benchmark.scoring import offered_tasks, score_values

    if _writes("scoring", options):
        _write("scoring", options, offered_tasks)
        return
    from autointerp.commands.printing.benchmark import print_scoring

    results = score_values(options["tasks"], options["score"], options["answers"])
    _show(results, options["results"], as_json, print_scoring)


def _writes(kind: BenchmarkKind, options: dict[str, Any]) -> bool:
    """Return whether tasks are to be written, and not answers scored."""
    given = {name for name in ("out", "tasks", "score", "results") if options[name] is not None}
    if given == {"out"}:
        return True
    if given - {"results"} != {"tasks", "score"}:
        raise UsageError(
            f"`benchmark {kind}` writes tasks or scores answers", "give -o DIR, or --tasks DIR with --score FILE"
        )
    return False


def _write(kind: BenchmarkKind, options: dict[str, Any], tasks_of: TaskMaker | None = None) -> None:
    from autointerp.benchmark.folder import write_benchmark
    from autointerp.benchmark.recipe import BenchmarkRecipe
    from autointerp.benchmark.synthetic import SyntheticPlan

    synthetic = SyntheticPlan(options["each"], options["base_rates"], options["noises"])
    recipe = BenchmarkRecipe(options["seed"], options["shown"], options["images"], synthetic, options["crops"])
    make = _maker(kind, options)
    written = write_benchmark(kind, recipe, options["out"], options["answers"], tasks_of, make)
    features = written.units - written.synthetic
    of = f"{written.synthetic} of {synthetic.count} synthetic units" + (f" and {features} features" if features else "")
    note(f"{written.tasks} tasks, of {of}; the rules are in README.md")
    if written.missing:
        note(f"not enough concepts hold in such a share of the cells: {'; '.join(written.missing)}")
    click.echo(options["out"])


def _maker(kind: BenchmarkKind, options: dict[str, Any]) -> Callable[[BenchmarkRecipe], Benchmark]:
    """Return what makes the benchmark: of renders, or of the workspace where a layer is named."""
    from autointerp.benchmark.recipe import make_benchmark

    layer, dictionary = options["layer"], options["dictionary"]
    if layer is None and dictionary is None:
        return make_benchmark
    if options["answers"] is None:
        raise UsageError(
            "tasks of a workspace cannot be made anew from a seed",
            f"keep their answers: benchmark {kind} -o DIR --answers FILE",
        )
    from autointerp.benchmark.workspace_tasks import workspace_benchmark
    from autointerp.project.targets import find_dictionary, resolve_target

    ctx = open_context()
    named = None if layer is None else find_dictionary(ctx, resolve_target(ctx, layer, dictionary))
    row = named or ctx.dictionary_named(dictionary)
    return lambda recipe: workspace_benchmark(ctx, row, recipe, options["features"])


def _show(results: dict[str, Any], path: Path | None, as_json: bool, show: Callable[[dict[str, Any]], None]) -> None:
    """Print results, and write them to a file where one is named."""
    if path is not None:
        with whole_file(path, hint="name another file") as partial:
            partial.write_text(to_json(results, indent=1) + "\n", encoding="utf-8")
    if as_json:
        print_json(results)
    else:
        show(results)

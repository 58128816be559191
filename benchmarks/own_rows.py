"""The project's own rows of the benchmarks, over several seeds of pictures and units.

For each seed a folder of tasks is made, named and scored as anyone's answers are. Figures are means over seeds. Those
of all units have the 95% interval of the mean (Student's t); a form has a dozen units a seed, and no interval. What is
known of a seed is kept in a file, so that a run that was stopped goes on.

    python -m benchmarks.own_rows --seeds 5 --kept rows.jsonl
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

from autointerp.benchmark.folder import write_benchmark
from autointerp.benchmark.naming import naming_results
from autointerp.benchmark.recipe import Benchmark, BenchmarkRecipe, make_benchmark
from autointerp.benchmark.scoring import offered_labels, offered_tasks, scoring_results
from autointerp.benchmark.synthetic import SyntheticPlan
from autointerp.shapes.broken_names import BREAKS
from benchmarks.own_names import named_by, units_of
from benchmarks.own_values import values_by

STUDENT = {2: 12.71, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""The factor of the standard error, by the number of seeds."""
FIGURES = ("exact", "macro_exact", "gain_share")
FORMS = ("A", "A or B", "A and not B", "noisy A, 0.1 moved", "noisy A, 0.3 moved")

Row = dict[str, float | None]


def rows_of(
    recipe: BenchmarkRecipe,
    labelers: Sequence[str],
    judges: Sequence[str],
    make: Callable[[BenchmarkRecipe], Benchmark] = make_benchmark,
    group: str = "synthetic",
) -> dict[str, Row]:
    """Return the figures of one seed, by the row that they are of.

    Args:
        recipe: What the benchmark is made of.
        labelers: Whose names are scored.
        judges: Whose values of labels are scored.
        make: Makes the benchmark.
        group: The units that figures are about.
    """
    made = make(recipe)
    found: dict[str, Row] = {}
    with TemporaryDirectory() as folder:
        tasks, answers = Path(folder) / "tasks", Path(folder) / "answers.json"
        write_benchmark("scoring", recipe, tasks, answers, offered_tasks, lambda _: made)
        units = list(units_of(tasks).values())
        for labeler in labelers:
            results = naming_results(made.answers, named_by(labeler, units, tasks))["groups"]
            found[f"naming: {labeler}"] = _naming(results, group)
            for control in ("constant", "majority"):
                of = results[group]["controls"][control]
                found[f"naming: {control}"] = {key: of[key] for key in FIGURES}
        labels = offered_labels(made.answers)
        for judge in judges:
            results = scoring_results(made.answers, labels, values_by(judge, tasks))
            found[f"scoring: {judge}"] = {way: of["auroc"] for way, of in results["ways"].items()}
            for control, ways in results["controls"].items():
                found[f"scoring: {control}"] = {way: of["auroc"] for way, of in ways.items()}
    return found


def _naming(results: Mapping[str, Any], group: str) -> Row:
    row = {key: results[group][key] for key in (*FIGURES, "truthless_named")}
    forms = {form: results.get(f"{group}: {form}") for form in FORMS}
    return {**row, **{form: of["exact"] for form, of in forms.items() if of is not None}}


def mean_of(values: Sequence[float], with_interval: bool, is_share: bool = True) -> str:
    """Return a mean over seeds, with its interval where that is wanted and values differ."""
    mean = float(np.mean(values))
    if not with_interval or len(values) not in STUDENT or np.ptp(values) == 0:
        return f"{mean:.3f}"
    reach = STUDENT[len(values)] * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    ends = (max(0.0, mean - reach), min(1.0, mean + reach)) if is_share else (mean - reach, mean + reach)
    return f"{mean:.3f} ({ends[0]:.3f} to {ends[1]:.3f})"


def table(seeds: Sequence[Mapping[str, Row]], kind: str) -> str:
    """Return the rows of a benchmark as a Markdown table."""
    columns = (*FIGURES, *FORMS, "truthless_named") if kind == "naming" else ("all", *BREAKS)
    lines = [f"| {kind} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in dict.fromkeys(name for seed in seeds for name in seed if name.startswith(kind)):
        cells = []
        for column in columns:
            known = [value for seed in seeds if (value := seed.get(name, {}).get(column)) is not None]
            with_interval = column in (*FIGURES, "all", *BREAKS)
            cells.append(mean_of(known, with_interval, column != "gain_share") if known else "")
        lines.append(f"| {name.partition(': ')[2]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


@click.command()
@click.option("--seeds", default=5, show_default=True)
@click.option("--labeler", "labelers", multiple=True, default=("prompts", "clip", "exact"), help="Repeatable.")
@click.option("--judge", "judges", multiple=True, default=("clip", "exact"), help="Repeatable.")
@click.option("--kept", type=click.Path(path_type=Path), help="File of what is known of each seed, read and added to.")
@click.option("--quick", is_flag=True, help="Sizes so small that only failures mean anything.")
def main(seeds: int, labelers: tuple[str, ...], judges: tuple[str, ...], kept: Path | None, quick: bool) -> None:
    """Print the rows."""
    known: dict[int, dict[str, Row]] = {}
    if kept is not None and kept.is_file():
        known = {line["seed"]: line["rows"] for line in map(json.loads, kept.read_text().splitlines())}
    for seed in range(seeds):
        if seed in known:
            continue
        recipe = BenchmarkRecipe(seed)
        if quick:
            recipe = BenchmarkRecipe(seed, 40, 30, SyntheticPlan(1, (0.04,), (0.1,)), 8)
        known[seed] = rows_of(recipe, labelers, judges)
        if kept is not None:
            with kept.open("a") as file:
                file.write(json.dumps({"seed": seed, "rows": known[seed]}) + "\n")
    rows = [known[seed] for seed in range(seeds)]
    click.echo(table(rows, "naming") + "\n\n" + table(rows, "scoring"))


if __name__ == "__main__":
    main()

"""`db check`: whether a workspace is whole, beyond what its database checks by itself.

Every picture, activation map and checkpoint has to decode. Every hash that can be made again has to come out the same.
Crops have to be as a harvest makes them, and indexes have to hold what they were made of. Rows are streamed, so that
memory does not grow with the workspace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from autointerp.db import DatabaseError, queries
from autointerp.db.check import find_problems, first
from autointerp.progress import Task
from autointerp.project.context import Context
from autointerp.upkeep.checks.crops import check_cells, check_crops
from autointerp.upkeep.checks.files import check_indexes, check_weights
from autointerp.upkeep.checks.images import check_generation, check_pictures, check_use
from autointerp.upkeep.checks.results import check_features, check_labels
from autointerp.upkeep.checks.runs import check_runs

CHECKS: tuple[Callable[[Context, Task], Iterator[str]], ...] = (
    check_pictures,
    check_use,
    check_generation,
    check_crops,
    check_cells,
    check_features,
    check_labels,
    check_runs,
    check_weights,
    check_indexes,
)
"""All checks in the order of their lines. The bar that they are given counts images and crops."""


def run_check(ctx: Context) -> list[str]:
    """Return a line for each problem, none for a sound workspace; of many problems of one kind the first few."""
    problems = find_problems(ctx.db)
    with ctx.db.session() as session:
        total = queries.checks.count_rows(session)
    with ctx.progress.task("check", total, unit="row") as bar:
        for check in CHECKS:
            try:
                problems += first(check(ctx, bar))
            except DatabaseError as error:
                # Rows on a damaged page of the database cannot be read. The other checks may still find theirs.
                problems.append(error.message)
    return list(dict.fromkeys(problems))

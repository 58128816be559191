"""How well each stored score tells right labels from wrong ones, on a workspace of a shapes model.

A label is right if its name is exact (`autointerp.shapes.label_verdict`): it holds in the very cells in which the
feature's truth holds, in the pictures that the workspace keeps. The figure is the AUROC of right against wrong labels,
with a bootstrap's interval over labels. `evaluate` must have found the truths, or this finds them first.

    python -m benchmarks.right_labels WORKSPACE --layer mid
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import click
import numpy as np

from autointerp.db import queries
from autointerp.labeling.judging.intervals import auroc_interval
from autointerp.project.context import Context
from autointerp.project.evidence import EvidenceReader
from autointerp.project.targets import Target, find_dictionary
from autointerp.project.workspace import WorkspaceFolder
from autointerp.shapes.extensions import Atoms
from autointerp.shapes.label_verdict import relation
from autointerp.shapes.oracle import Oracle
from autointerp.stages.evaluate.evaluating import truths_of


@click.command()
@click.argument("workspace", type=click.Path(path_type=Path, exists=True))
@click.option("--layer", default="mid", show_default=True)
def main(workspace: Path, layer: str) -> None:
    """Print a line for each score and judge."""
    ctx = Context(WorkspaceFolder.open(workspace))
    row = find_dictionary(ctx, Target(layer))
    truths, reader = truths_of(ctx, row), EvidenceReader(ctx.db, row)
    with ctx.db.session() as session:
        best = queries.labels.best(session, row.id)
        latents = queries.features.latent_indexes(session, best)
        judged = queries.scores.judged(session, [found.label.id for found in best.values()])
        images = queries.crops.image_ids(session, row.id, "score")
        named = {found.label.id: (latents[feature], found.label.name) for feature, found in best.items()}
        session.expunge_all()
    cells = Oracle.load().read([crop.picture for crop in reader.pictures(images).values()])
    extension = cache(Atoms.of_cells(cells).extension)

    @cache
    def is_right(latent: int, name: str) -> bool:
        truth = truths[latent]
        if truth is None:
            return False
        return relation(extension(name).holds, extension(truth.concept.name).holds) == "exact"

    groups: dict[tuple[str, str], list[tuple[bool, float]]] = {}
    for score, judge in judged:
        if score.value is not None and not score.shuffled:
            key = score.method, "" if judge is None else judge.model
            groups.setdefault(key, []).append((is_right(*named[score.label_id]), score.value))
    for (method, judge), values in sorted(groups.items()):
        right, value = np.array([one for one, _ in values]), np.array([one for _, one in values])
        if right.all() or not right.any():
            continue
        found, low, high = auroc_interval(value[right], value[~right], 0)
        label = f"{method} by {judge}" if judge else method
        click.echo(f"{label:40} {found:.3f} ({low:.3f} to {high:.3f}), {int(right.sum())} of {len(right)} labels right")


if __name__ == "__main__":
    main()

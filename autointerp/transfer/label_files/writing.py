"""Writing labels to a file that can be edited and imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.db import queries
from autointerp.errors import AutointerpError, UsageError
from autointerp.files import whole_file
from autointerp.labeling.labelers.given import GivenLabel
from autointerp.labeling.labelers.label_files import write_labels
from autointerp.project.labeler_names import chosen_labelers, labeler_names
from autointerp.transfer.label_files.matching import texts_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from autointerp.db import Session
    from autointerp.project.context import Context


def export_labels(ctx: Context, path: Path, dictionary: str | None = None, labeler: str | None = None) -> int:
    """Write labels to a `.csv` or `.jsonl` file; return how many.

    Args:
        ctx: The workspace.
        path: The file.
        dictionary: The name of the dictionary whose labels are written; None writes those of all dictionaries.
        labeler: The labeler whose labels are written; None writes the labels that count.

    Raises:
        UsageError: The file has another ending, or the dictionary or the labeler does not exist.
        AutointerpError: There are no labels, or the file cannot be written.
    """
    if path.suffix.lower() not in (".csv", ".jsonl"):
        raise UsageError(f"{path} is not named as a label file", "write NAME.csv or NAME.jsonl")
    chosen = chosen_labelers(ctx, labeler)
    if dictionary is not None:
        ctx.dictionary_named(dictionary)  # Refuses a name that no dictionary has.
    with ctx.db.session() as session:
        labels = _read_labels(session, dictionary, chosen)
    if not labels:
        raise AutointerpError("there are no labels to write", "run `autointerp label --layer mid` first")
    with whole_file(path, hint="name another file") as partial:
        write_labels(partial, labels, "csv" if path.suffix.lower() == ".csv" else "jsonl")
    return len(labels)


def _read_labels(session: Session, dictionary: str | None, labelers: Collection[int] | None) -> list[GivenLabel]:
    """Return the labels of a dictionary, or of all, in the order of the dictionaries and the latents."""
    names = labeler_names(queries.labelers.with_labels(session))
    labels: list[GivenLabel] = []
    for row in queries.dictionaries.list_all(session):
        if dictionary is not None and row.name != dictionary:
            continue
        best = queries.labels.best(session, row.id, labelers)
        for latent, feature_id in queries.features.ids_by_index(session, row.id).items():
            if feature_id in best:
                label, author = best[feature_id].label, names[best[feature_id].labeler.id]
                name, explanation = texts_of(label)
                labels.append(GivenLabel("", f"{row.name}:{latent}", name, explanation, label.confidence, author))
    return labels

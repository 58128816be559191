"""The namesakes of a dictionary's labels: by words, and by the vectors of the index of labels where there is one."""

from __future__ import annotations

from collections.abc import Collection

from autointerp.db import queries
from autointerp.db.models import DictionaryRow, Label
from autointerp.labeling.namesakes import namesakes
from autointerp.project.context import Context
from autointerp.stages.index.opening import open_index


def label_namesakes(
    ctx: Context, dictionary: DictionaryRow, labelers: Collection[int] | None = None
) -> dict[int, tuple[Label, ...]]:
    """Return the labels of nearly the same name, nearest first, by the id of each current label that is a name.

    Names of different labelers are not compared.

    Args:
        ctx: The command's view of the workspace.
        dictionary: The dictionary.
        labelers: Only labels of these labelers; None for all.
    """
    with ctx.db.session() as session:
        said = queries.labels.current(session, dictionary.id, labelers)
        latents = queries.features.latent_indexes(session, said)
        session.expunge_all()
    named: dict[int, list[Label]] = {}
    for feature_id in sorted(said, key=lambda one: latents[one]):
        for one in said[feature_id]:
            if one.label.status == "ok":
                named.setdefault(one.labeler.id, []).append(one.label)
    index = open_index(ctx, dictionary, "labels") if named and ctx.has_text_embedder else None
    found: dict[int, tuple[Label, ...]] = {}
    for labels in named.values():
        vectors = None if index is None else index.vectors([label.id for label in labels])
        near = namesakes([label.name for label in labels], vectors)
        found |= {label.id: tuple(labels[i] for i in some) for label, some in zip(labels, near, strict=True)}
    return found

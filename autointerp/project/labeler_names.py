"""Names of labelers on the command line: KIND, KIND@MODEL, and KIND@MODEL#DIGITS where several share the former.

A model that is named for its labeler, `shapes-vlm@0123`, already says the kind, and is not repeated.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from autointerp.db import queries
from autointerp.db.models import DictionaryRow, LabelerRow
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.project.context import Context


def labeler_names(labelers: Sequence[LabelerRow]) -> dict[int, str]:
    """Return each labeler's shortest name that no other of these labelers has, by its id."""
    often = Counter(_of_model(row) for row in labelers)
    return {row.id: _whole(row) if often[_of_model(row)] > 1 else _of_model(row) for row in labelers}


def labelers_called(labelers: Sequence[LabelerRow], name: str) -> list[int]:
    """Return the ids of the labelers that a whole name means; a kind means all of that kind."""
    return [row.id for row in labelers if name in (row.kind, _of_model(row), _whole(row))]


def chosen_labelers(ctx: Context, name: str | None) -> list[int] | None:
    """Return the ids of the labelers that `--labeler NAME` means: a name, or the beginning of one name; None for all.

    Raises:
        UsageError: No labeler is meant, or the beginning fits several names.
        AutointerpError: Nothing is labeled yet.
    """
    if name is None:
        return None
    with ctx.db.session() as session:
        rows = queries.labelers.with_labels(session)
        if not rows:
            raise AutointerpError("there are no labels here", "run `autointerp label --layer mid` first")
        if exact := labelers_called(rows, name):
            return exact
        for called in (lambda row: row.kind, _of_model, _whole):
            begin = sorted({called(row) for row in rows if called(row).startswith(name)}) if name else []
            if len(begin) == 1:
                return labelers_called(rows, begin[0])
            if begin:
                raise UsageError(f"{name!r} begins the names of several labelers", f"write one: {', '.join(begin)}")
        known = sorted({row.kind for row in rows} | set(labeler_names(rows).values()))
        raise UsageError(f"no labels here are of a labeler {name!r}", nearest(name, known))


def newest_of(ctx: Context, dictionary: DictionaryRow, chosen: Sequence[int] | None) -> list[int] | None:
    """Return which of several labelers of one name counts for a dictionary: the one of the newest label there.

    A note names those that do not count. People count together, because each of them names other features. None stays
    None, which means all labelers.
    """
    if chosen is None or len(chosen) < 2:
        return None if chosen is None else list(chosen)
    with ctx.db.session() as session:
        kinds = {row.kind for row in queries.labelers.by_ids(session, chosen)}
        newest = queries.labelers.newest_first(session, dictionary.id, chosen)
        names = labeler_names(queries.labelers.with_labels(session))
    if not newest or kinds == {queries.labels.HUMAN}:
        return list(chosen)
    counts, *others = newest
    if others:
        left_out = ", ".join(names[other] for other in others)
        ctx.progress.note(
            f"{dictionary.name}: the labels are those of {names[counts]}, which labeled last; left out are those of "
            f"{left_out}: name one with --labeler to read its labels"
        )
    return [counts]


def _of_model(row: LabelerRow) -> str:
    """Return KIND@MODEL, or KIND without a model."""
    if row.model.startswith(f"{row.kind}@"):
        return row.model
    return f"{row.kind}@{row.model}" if row.model else row.kind


def _whole(row: LabelerRow) -> str:
    """Return KIND@MODEL#DIGITS, which differs by server, prompts and options too."""
    digest = hashlib.sha256("\n".join((row.base_url, row.prompt_hash, row.config_hash)).encode()).hexdigest()
    return f"{_of_model(row)}#{digest[:6]}"

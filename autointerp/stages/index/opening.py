"""Index files: opened and brought up to date, planned, recorded in the database, removed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.db import DatabaseError, NotWritable, models, queries
from autointerp.errors import AutointerpError
from autointerp.project.context import Context
from autointerp.project.plan import Step
from autointerp.project.schedule import part_of
from autointerp.search.building import update_index
from autointerp.search.index_file import read_index, read_note, write_index
from autointerp.search.vector_index import VectorIndex
from autointerp.stages.index.contents import CONTENTS, CropContents

if TYPE_CHECKING:
    import numpy as np

    from autointerp.db.models import DictionaryRow, IndexKind
    from autointerp.labeling.protocol import CropEvidence


def index_path(ctx: Context, dictionary: DictionaryRow, kind: IndexKind) -> Path:
    """Return where a dictionary's index of a kind lies."""
    return _path(ctx, dictionary.name, kind)


def _path(ctx: Context, dictionary_name: str, kind: IndexKind) -> Path:
    """Return where an index of a dictionary of this name lies."""
    return ctx.workspace.indexes_dir / f"{dictionary_name}.{kind}.faiss"


def open_index(ctx: Context, dictionary: DictionaryRow, kind: IndexKind, reading: bool = False) -> VectorIndex:
    """Open a dictionary's index of a kind, and bring it up to date where it is stale.

    Where the index is damaged, or of another embedder or of other contents, it is built again, with a note.

    Args:
        ctx: The command's view of the workspace.
        dictionary: The dictionary.
        kind: The kind of index.
        reading: Keep an updated index in memory alone, with a note, where it cannot be written: another process may be
            writing to the workspace, or it may be read-only.

    Raises:
        AutointerpError: The embedder cannot be loaded, or without `reading`, the index cannot be written.
    """
    contents, path = CONTENTS[kind](ctx, dictionary), index_path(ctx, dictionary, kind)
    embedder = contents.embedder
    fingerprint = contents.fingerprint(embedder)
    known: VectorIndex | None = None
    why = ""
    if path.exists():
        try:
            known = read_index(path)
        except AutointerpError as error:
            why = error.message
    if known is not None and known.embedder != embedder:
        why, known = f"the index {path} is of the embedder {known.embedder}", None
    if known is not None and known.fingerprint == fingerprint:
        return known
    if (loaded := contents.load()) != embedder:
        # The hub has had a newer commit.
        embedder, fingerprint = loaded, contents.fingerprint(loaded)
        known = None
    rows = contents.rows()
    if known is not None and len(known) and not known.holds(rows).any():
        known, why = None, f"the index {path} is of other {kind}"
    if why:
        ctx.progress.note(f"{why}: it is built again")
    with part_of(ctx.progress, "index" if kind == "crops" else ""):
        index = update_index(known, rows, embedder, fingerprint, lambda at: contents.embed(rows[at]))
    try:
        with ctx.workspace.lock():
            write_index(index, path)
            _record(ctx, dictionary, kind, index)
    except AutointerpError as error:
        if not reading or (isinstance(error, DatabaseError) and not isinstance(error, NotWritable)):
            raise
        ctx.progress.note(f"the index {path} is not kept: {error}")
    return index


def fresh_indexes(ctx: Context) -> Callable[[DictionaryRow, IndexKind], VectorIndex]:
    """Return a function that opens an index of a workspace for a reader, and brings it up to date.

    Where the updated index cannot be written, it is kept in memory alone, see `open_index`.
    """
    return lambda dictionary, kind: open_index(ctx, dictionary, kind, reading=True)


def plan_crops_index(ctx: Context, dictionary: DictionaryRow | None, name: str, harvest: str) -> Step:
    """Return the plan's line for the index of one harvest's crops.

    Args:
        ctx: The command's view of the workspace.
        dictionary: The dictionary, where it is fitted already.
        name: The dictionary's name, in either case.
        harvest: The identity of the harvest.
    """
    fresh = False
    if dictionary is not None:
        note = read_note(index_path(ctx, dictionary, "crops"))
        expected = CropContents(ctx, dictionary, harvest).fingerprint(ctx.embedder_identity)
        fresh = note is not None and note.fingerprint == expected
    return Step("index", f"{name} crops", not fresh, f"embedder {ctx.embedder_name}")


def crop_vectors(index: VectorIndex, crops: list[CropEvidence]) -> np.ndarray:
    """Return the stored vectors of crops, float32 [n, dim]."""
    return index.vectors([c.crop_id for c in crops if c.crop_id is not None])


def _record(ctx: Context, dictionary: DictionaryRow, kind: IndexKind, index: VectorIndex) -> None:
    """Store what the index file holds, and where it lies."""
    row = models.Index(
        name=f"{dictionary.name}.{kind}",
        kind=kind,
        dictionary_id=dictionary.id,
        embedder=index.embedder,
        count=len(index),
        content_hash=index.fingerprint,
        path=str(index_path(ctx, dictionary, kind).relative_to(ctx.workspace.path)),
    )
    with ctx.db.session() as session:
        queries.indexes.record(session, row)


def remove_indexes(ctx: Context, dictionary_name: str) -> None:
    """Delete a dictionary's index files."""
    for kind in CONTENTS:
        path = _path(ctx, dictionary_name, kind)
        path.unlink(missing_ok=True)
        # Earlier versions wrote a second file beside the index.
        path.with_name(f"{path.name}.json").unlink(missing_ok=True)

"""Stage `index`: vectors of crops and labels in FAISS files, rebuilt when what they hold changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import delete, select

from autointerp.db import queries
from autointerp.db.models import Dictionary, Feature, Index, Run
from autointerp.errors import AutointerpError
from autointerp.search.indexes import VectorIndex, build_index, read_index, read_note, write_index
from autointerp.stages.context import Context, identity
from autointerp.stages.evidence import EvidenceReader
from autointerp.stages.plan import Step

if TYPE_CHECKING:
    from autointerp.labeling.protocol import CropEvidence

_FEATURES_AT_ONCE = 64


def index_path(ctx: Context, dictionary: Dictionary, kind: str) -> Path:
    """Where a dictionary's index of a kind (`crops`, `labels`) lies."""
    return ctx.workspace.indexes_dir / f"{dictionary.name}.{kind}.faiss"


def _crops_fingerprint(harvest: str, embedder: str) -> str:
    from autointerp.labeling.clip import ClipOptions

    return identity({"harvest": harvest, "embedder": embedder, "windows": ClipOptions().windows})


def _labels_fingerprint(named: Sequence[tuple[int, str]], embedder: str) -> str:
    return identity({"labels": [list(row) for row in named], "embedder": embedder})


def index_fingerprint(ctx: Context, dictionary: Dictionary, kind: str, embedder: str) -> str:
    """What an index of this kind, made by this embedder, would have as its fingerprint now; nothing is loaded."""
    if kind == "labels":
        return _labels_fingerprint(_named(ctx, dictionary), embedder)
    with ctx.db.session() as session:
        query = select(Run.identity).where(Run.kind == "harvest", Run.dictionary_id == dictionary.id)
        return _crops_fingerprint(session.scalar(query.order_by(Run.id.desc()).limit(1)) or "", embedder)


def _named(ctx: Context, dictionary: Dictionary) -> list[tuple[int, str]]:
    """(feature id, name) of every feature that has one."""
    with ctx.db.session() as session:
        best = queries.best_labels(session, dictionary.id)
        return [(feature_id, best[feature_id].label.name) for feature_id in sorted(best)]


def is_fresh(path: Path, fingerprint: str) -> bool:
    """Whether the index at `path` holds exactly this."""
    note = read_note(path)
    return note is not None and note.fingerprint == fingerprint


def _usable(path: Path, fingerprint: str) -> VectorIndex | None:
    """The index at `path` if it holds exactly this; a damaged one is as good as none."""
    if not is_fresh(path, fingerprint):
        return None
    try:
        return read_index(path)
    except AutointerpError:
        return None


def plan_crops_index(ctx: Context, dictionary: Dictionary | None, name: str, harvest: str) -> Step:
    """The plan's line for the crops of one harvest."""
    fresh = dictionary is not None and is_fresh(
        index_path(ctx, dictionary, "crops"), _crops_fingerprint(harvest, ctx.embedder.name)
    )
    return Step("index", f"{name} crops", not fresh, f"embedder {ctx.embedder_name}")


def index_crops(ctx: Context, dictionary: Dictionary, harvest: str) -> VectorIndex:
    """The index of all crops on which a feature fires (ids: crops), built if it is missing or stale."""
    path, fingerprint = index_path(ctx, dictionary, "crops"), _crops_fingerprint(harvest, ctx.embedder.name)
    if (known := _usable(path, fingerprint)) is not None:
        return known
    with ctx.db.session() as session:
        query = select(Feature.id).where(Feature.dictionary_id == dictionary.id, Feature.state != "dead")
        features = session.scalars(query.order_by(Feature.latent_index)).all()
    reader, embed = EvidenceReader(ctx.db, dictionary), ctx.windows
    ids: list[int] = []
    vectors = [np.zeros((0, ctx.embedder.dim), np.float32)]
    with ctx.progress.task(f"index {dictionary.name} crops", len(features), unit="feature") as bar:
        for start in range(0, len(features), _FEATURES_AT_ONCE):
            part = features[start : start + _FEATURES_AT_ONCE]
            crops = [c for found in reader.crops(part).values() for c in found if c.role != "negative"]
            vectors.append(embed(crops))
            ids += [c.crop_id for c in crops]
            bar.advance(len(part))
    index = build_index(np.concatenate(vectors), np.array(ids, np.int64), ctx.embedder.name, fingerprint)
    write_index(index, path)
    _record(ctx, dictionary, "crops", path, index)
    return index


def crop_vectors(index: VectorIndex, crops: list[CropEvidence]) -> np.ndarray:
    """The stored vectors of crops, float32 [n, dim]."""
    if not crops:
        return np.zeros((0, index.note.dim), np.float32)
    return index.index.reconstruct_batch(np.array([c.crop_id for c in crops], np.int64))


def index_labels(ctx: Context, dictionary: Dictionary) -> bool:
    """Bring the index of label names (ids: features) up to date; returns whether it had to be built."""
    named = _named(ctx, dictionary)
    path = index_path(ctx, dictionary, "labels")
    fingerprint = _labels_fingerprint(named, ctx.embedder.name)
    if _usable(path, fingerprint) is not None:
        return False
    vectors = ctx.embedder.embed_texts([name for _, name in named])
    index = build_index(vectors, np.array([f for f, _ in named], np.int64), ctx.embedder.name, fingerprint)
    write_index(index, path)
    _record(ctx, dictionary, "labels", path, index)
    return True


def _record(ctx: Context, dictionary: Dictionary, kind: str, path: Path, index: VectorIndex) -> None:
    with ctx.db.session() as session:
        name = f"{dictionary.name}.{kind}"
        session.execute(delete(Index).where(Index.name == name))
        session.add(
            Index(
                name=name,
                kind=kind,
                dictionary_id=dictionary.id,
                embedder=index.note.embedder,
                count=index.note.size,
                content_hash=index.note.fingerprint,
                path=str(path.relative_to(ctx.workspace.path)),
            )
        )


def remove_indexes(ctx: Context, dictionary_name: str) -> None:
    """Delete a dictionary's index files."""
    for kind in ("crops", "labels"):
        for ending in ("faiss", "faiss.json"):
            (ctx.workspace.indexes_dir / f"{dictionary_name}.{kind}.{ending}").unlink(missing_ok=True)

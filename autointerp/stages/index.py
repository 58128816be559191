"""Stage `index`: vectors of crops, labels and decoder directions in FAISS files, kept in step with the database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from sqlalchemy import delete, func, select

from autointerp.db.errors import DatabaseError
from autointerp.db.models import Crop, Dictionary, Feature, Index, Label, Run
from autointerp.errors import AutointerpError
from autointerp.search.indexes import Rows, VectorIndex, digest_of, read_index, read_note, update_index, write_index
from autointerp.stages.context import Context, identity
from autointerp.stages.evidence import EvidenceReader
from autointerp.stages.plan import Step

if TYPE_CHECKING:
    from autointerp.labeling.protocol import CropEvidence

DIRECTIONS = "directions"
"""What stands for an embedder where the vectors are the dictionary's own."""
_FEATURES_AT_ONCE = 64


class Source(Protocol):
    """What an index of some kind is made of now."""

    def __init__(self, ctx: Context, dictionary: Dictionary) -> None: ...

    @property
    def embedder(self) -> str:
        """Name of what makes the vectors; loads it."""
        ...

    def fingerprint(self, embedder: str) -> str:
        """Identifies the contents as this embedder would make them; loads nothing."""
        ...

    def rows(self) -> Rows:
        """What is to be held."""
        ...

    def embed(self, rows: Rows) -> np.ndarray:
        """The unit vectors of some of the rows, float32 [n, dim]."""
        ...


class LabelSource:
    """What each labeler says of a feature now: a vector a name, under the label's id, grouped by feature.

    Its weight is the labeler's confidence.
    """

    def __init__(self, ctx: Context, dictionary: Dictionary) -> None:
        self.ctx = ctx
        query = (
            select(Label.id, Label.feature_id, Label.labeler_id, Label.status, Label.name, Label.confidence)
            .join(Feature, Feature.id == Label.feature_id)
            .where(Feature.dictionary_id == dictionary.id, Label.status != "failed")
        )
        with ctx.db.session() as session:
            said = session.execute(query.order_by(Label.id)).all()
        newest = {(feature, labeler): row for row in said for _, feature, labeler, *_ in [row]}
        self._named = [
            (label, feature, name, confidence)
            for label, feature, _, status, name, confidence in newest.values()
            if status == "ok"
        ]

    @property
    def embedder(self) -> str:
        """See `Source`."""
        return self.ctx.text_embedder.name

    def fingerprint(self, embedder: str) -> str:
        """See `Source`."""
        return identity({"labels": sorted(map(list, self._named)), "embedder": embedder})

    def rows(self) -> Rows:
        """See `Source`."""
        return Rows.of((label, feature, digest_of(name, sure), sure) for label, feature, name, sure in self._named)

    def embed(self, rows: Rows) -> np.ndarray:
        """See `Source`."""
        names = {label: name for label, _, name, _ in self._named}
        # Many features have the same name.
        asked = list(dict.fromkeys(names[label] for label in rows.ids.tolist()))
        vectors = self.ctx.text_embedder.embed_texts(asked)
        place = {name: at for at, name in enumerate(asked)}
        return vectors[[place[names[label]] for label in rows.ids.tolist()]]


class CropSource:
    """All crops on which a feature fires, under the crop's id, grouped by feature, weighted by activation."""

    def __init__(self, ctx: Context, dictionary: Dictionary, harvest: str | None = None) -> None:
        self.ctx, self.dictionary = ctx, dictionary
        if harvest is None:
            query = select(Run.identity).where(Run.kind == "harvest", Run.dictionary_id == dictionary.id)
            with ctx.db.session() as session:
                harvest = session.scalar(query.order_by(Run.id.desc()).limit(1)) or ""
        from autointerp.labeling.clip import ClipOptions

        self._made_of = {"harvest": harvest, "windows": ClipOptions().windows}

    @property
    def embedder(self) -> str:
        """See `Source`."""
        return self.ctx.embedder.name

    def fingerprint(self, embedder: str) -> str:
        """See `Source`."""
        # The same harvest has other ids in another database.
        ids = (func.count(Crop.id), func.min(Crop.id), func.max(Crop.id))
        with self.ctx.db.session() as session:
            found = session.execute(select(*ids).join(Feature).where(Feature.dictionary_id == self.dictionary.id)).one()
        return identity({**self._made_of, "embedder": embedder, "ids": list(found)})

    def rows(self) -> Rows:
        """See `Source`."""
        digest = digest_of(self._made_of)
        query = (
            select(Crop.id, Crop.feature_id, Crop.activation)
            .join(Feature, Feature.id == Crop.feature_id)
            .where(Feature.dictionary_id == self.dictionary.id, Feature.state != "dead", Crop.role != "negative")
        )
        with self.ctx.db.session() as session:
            found = session.execute(query.order_by(Crop.id))
            return Rows.of((crop, feature, digest, strength) for crop, feature, strength in found)

    def embed(self, rows: Rows) -> np.ndarray:
        """See `Source`."""
        features = list(dict.fromkeys(rows.groups.tolist()))
        place = {crop: at for at, crop in enumerate(rows.ids.tolist())}
        found = np.zeros((len(rows), self.ctx.embedder.dim), np.float32)
        reader = EvidenceReader(self.ctx.db, self.dictionary)
        with self.ctx.progress.task(f"index {self.dictionary.name} crops", len(features), unit="feature") as bar:
            for start in range(0, len(features), _FEATURES_AT_ONCE):
                part = features[start : start + _FEATURES_AT_ONCE]
                crops = [c for several in reader.crops(part).values() for c in several if c.crop_id in place]
                if crops:
                    found[[place[c.crop_id] for c in crops]] = self.ctx.windows(crops)
                bar.advance(len(part))
        return found


class DecoderSource:
    """The direction that each feature stands for in its layer, under the feature's id."""

    embedder = DIRECTIONS

    def __init__(self, ctx: Context, dictionary: Dictionary) -> None:
        self.ctx, self.dictionary = ctx, dictionary
        query = select(Feature.id, Feature.latent_index).where(Feature.dictionary_id == dictionary.id)
        with ctx.db.session() as session:
            self._latents = {f: i for f, i in session.execute(query.where(Feature.state != "dead"))}

    def fingerprint(self, embedder: str) -> str:
        """See `Source`."""
        made_of = {"weights": self.dictionary.weights_sha256, "latents": sorted(self._latents.items())}
        return identity({**made_of, "embedder": embedder})

    def rows(self) -> Rows:
        """See `Source`."""
        weights = self.dictionary.weights_sha256
        return Rows.of((f, f, digest_of(weights, i), 1.0) for f, i in sorted(self._latents.items()))

    def embed(self, rows: Rows) -> np.ndarray:
        """See `Source`."""
        from autointerp.dictionaries.storage import load_dictionary
        from autointerp.search.embedders import unit

        directions = load_dictionary(self.ctx.workspace.dictionary_dir(self.dictionary.name)).directions
        wanted = [self._latents[feature] for feature in rows.ids.tolist()]
        return unit(directions[wanted].float().cpu().numpy())


SOURCES: dict[str, Callable[[Context, Dictionary], Source]] = {
    "labels": LabelSource,
    "crops": CropSource,
    "decoder": DecoderSource,
}
"""Kind of index -> what it is made of."""


def index_path(ctx: Context, dictionary: Dictionary, kind: str) -> Path:
    """Where a dictionary's index of a kind (`SOURCES`) lies."""
    return ctx.workspace.indexes_dir / f"{dictionary.name}.{kind}.faiss"


def open_index(ctx: Context, dictionary: Dictionary, kind: str, reading: bool = False) -> VectorIndex:
    """The index of a kind, brought up to date where it is stale, and made again, with a note, where it is damaged,
    of another embedder or of other contents.

    With `reading` it is kept in memory alone, with a note, where it cannot be written: by a workspace that another one
    writes, or that may only be read.

    Raises:
        AutointerpError: The embedder cannot be loaded, or without `reading`, the index cannot be written.
    """
    source, path = SOURCES[kind](ctx, dictionary), index_path(ctx, dictionary, kind)
    embedder = source.embedder
    fingerprint = source.fingerprint(embedder)
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
    rows = source.rows()
    if known is not None and len(known) and not known.holds(rows).any():
        known, why = None, f"the index {path} is of other {kind}"
    if why:
        ctx.progress.note(f"{why}: it is built again")
    index = update_index(known, rows, embedder, fingerprint, lambda at: source.embed(rows[at]))
    try:
        with ctx.workspace.lock():
            write_index(index, path)
            _record(ctx, dictionary, kind, path, index)
    except (AutointerpError, DatabaseError) as error:
        if not reading:
            raise
        ctx.progress.note(f"the index {path} is not kept: {error}")
    return index


def is_fresh(path: Path, fingerprint: str) -> bool:
    """Whether the index at `path` says that it holds exactly this."""
    note = read_note(path)
    return note is not None and note.fingerprint == fingerprint


def plan_crops_index(ctx: Context, dictionary: Dictionary | None, name: str, harvest: str) -> Step:
    """The plan's line for the crops of one harvest."""
    fresh = dictionary is not None and is_fresh(
        index_path(ctx, dictionary, "crops"), CropSource(ctx, dictionary, harvest).fingerprint(ctx.embedder.name)
    )
    return Step("index", f"{name} crops", not fresh, f"embedder {ctx.embedder_name}")


def crop_vectors(index: VectorIndex, crops: list[CropEvidence]) -> np.ndarray:
    """The stored vectors of crops, float32 [n, dim]."""
    return index.vectors([c.crop_id for c in crops])


def _record(ctx: Context, dictionary: Dictionary, kind: str, path: Path, index: VectorIndex) -> None:
    with ctx.db.session() as session:
        name = f"{dictionary.name}.{kind}"
        session.execute(delete(Index).where(Index.name == name))
        session.add(
            Index(
                name=name,
                kind=kind,
                dictionary_id=dictionary.id,
                embedder=index.embedder,
                count=len(index),
                content_hash=index.fingerprint,
                path=str(path.relative_to(ctx.workspace.path)),
            )
        )


def remove_indexes(ctx: Context, dictionary_name: str) -> None:
    """Delete a dictionary's index files."""
    for kind in SOURCES:
        (ctx.workspace.indexes_dir / f"{dictionary_name}.{kind}.faiss").unlink(missing_ok=True)
        # Beside it lay a note, before the two became one file.
        (ctx.workspace.indexes_dir / f"{dictionary_name}.{kind}.faiss.json").unlink(missing_ok=True)

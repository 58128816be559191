"""The contents of each kind of index: crops, labels or decoder directions, and their vectors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from autointerp.db import queries
from autointerp.project.context import Context, identity
from autointerp.project.evidence import EvidenceReader
from autointerp.search.rows import Rows, digest_of

if TYPE_CHECKING:
    from autointerp.db.models import DictionaryRow, IndexKind
    from autointerp.db.queries.indexes import NamedLabel

DIRECTIONS = "directions"
"""The embedder's name where the vectors are the dictionary's own directions."""
_FEATURES_AT_ONCE = 64


class IndexContents(Protocol):
    """What an index of some kind has to hold now."""

    def __init__(self, ctx: Context, dictionary: DictionaryRow) -> None: ...

    @property
    def embedder(self) -> str:
        """The name of the embedder that makes the vectors; of a loaded one its own."""
        ...

    def load(self) -> str:
        """Load what makes the vectors, and return its name."""
        ...

    def fingerprint(self, embedder: str) -> str:
        """Return a hash of the contents with the vectors of this embedder. Loads nothing."""
        ...

    def rows(self) -> Rows:
        """Return the rows that the index has to hold."""
        ...

    def embed(self, rows: Rows) -> np.ndarray:
        """Return the unit vectors of some of the rows, float32 [n, dim]."""
        ...


class LabelContents:
    """What each labeler says of a feature now: a vector a name, under the label's id, grouped by feature.

    Its weight is the labeler's confidence.
    """

    def __init__(self, ctx: Context, dictionary: DictionaryRow) -> None:
        self.ctx, self.dictionary = ctx, dictionary

    @cached_property
    def _named(self) -> list[NamedLabel]:
        """All labels at once, which only an index that is not up to date needs."""
        with self.ctx.db.session() as session:
            return list(queries.indexes.labels_to_index(session, self.dictionary.id))

    @property
    def embedder(self) -> str:
        """See `IndexContents`."""
        return self.ctx.text_embedder_identity

    def load(self) -> str:
        """See `IndexContents`."""
        return self.ctx.text_embedder.name

    def fingerprint(self, embedder: str) -> str:
        """See `IndexContents`."""
        # The `identity` of both, hashed piece by piece: a server asks for it, and has no need of all labels in memory.
        written = hashlib.sha256(f'{{"embedder": {json.dumps(embedder)}, "labels": ['.encode())
        with self.ctx.db.session() as session:
            for at, label in enumerate(queries.indexes.labels_to_index(session, self.dictionary.id)):
                written.update(f"{', ' if at else ''}{json.dumps(label)}".encode())
        written.update(b"]}")
        return written.hexdigest()

    def rows(self) -> Rows:
        """See `IndexContents`."""
        return Rows.of((label, feature, digest_of(name, sure), sure) for label, feature, name, sure in self._named)

    def embed(self, rows: Rows) -> np.ndarray:
        """See `IndexContents`."""
        names = {label.label_id: label.name for label in self._named}
        # Many features have the same name, so each name is embedded once.
        distinct = list(dict.fromkeys(names[label] for label in rows.ids.tolist()))
        vectors = self.ctx.text_embedder.embed_texts(distinct)
        place = {name: at for at, name in enumerate(distinct)}
        return vectors[[place[names[label]] for label in rows.ids.tolist()]]


class CropContents:
    """All crops on which a feature fires, under the crop's id, grouped by feature, weighted by activation."""

    def __init__(self, ctx: Context, dictionary: DictionaryRow, harvest: str | None = None) -> None:
        self.ctx, self.dictionary = ctx, dictionary
        if harvest is None:
            with ctx.db.session() as session:
                harvest = queries.runs.newest_harvest(session, dictionary.id)
        from autointerp.labeling.labelers.clip import ClipOptions

        self._made_of = {"harvest": harvest, "windows": ClipOptions().windows}

    @property
    def embedder(self) -> str:
        """See `IndexContents`."""
        return self.ctx.embedder_identity

    def load(self) -> str:
        """See `IndexContents`."""
        return self.ctx.embedder.name

    def fingerprint(self, embedder: str) -> str:
        """See `IndexContents`."""
        with self.ctx.db.session() as session:
            ids = queries.crops.id_range(session, self.dictionary.id)
        return identity({**self._made_of, "embedder": embedder, "ids": list(ids)})

    def rows(self) -> Rows:
        """See `IndexContents`."""
        digest = digest_of(self._made_of)
        with self.ctx.db.session() as session:
            crops = queries.crops.to_index(session, self.dictionary.id)
            return Rows.of((crop, feature, digest, strength) for crop, feature, strength in crops)

    def embed(self, rows: Rows) -> np.ndarray:
        """See `IndexContents`."""
        features = list(dict.fromkeys(rows.groups.tolist()))
        place = {crop: at for at, crop in enumerate(rows.ids.tolist())}
        vectors = np.zeros((len(rows), self.ctx.embedder.dim), np.float32)
        reader = EvidenceReader(self.ctx.db, self.dictionary)
        with self.ctx.progress.task(f"index {self.dictionary.name} crops", len(features), unit="feature") as bar:
            for start in range(0, len(features), _FEATURES_AT_ONCE):
                part = features[start : start + _FEATURES_AT_ONCE]
                crops = [c for several in reader.crops(part).values() for c in several if c.crop_id in place]
                if crops:
                    vectors[[place[c.crop_id] for c in crops]] = self.ctx.windows(crops)
                bar.advance(len(part))
        return vectors


class DecoderContents:
    """The direction that each feature stands for in its layer, under the feature's id."""

    embedder = DIRECTIONS

    def __init__(self, ctx: Context, dictionary: DictionaryRow) -> None:
        self.ctx, self.dictionary = ctx, dictionary
        with ctx.db.session() as session:
            self._latents = queries.features.latents_that_fire(session, dictionary.id)

    def load(self) -> str:
        """See `IndexContents`."""
        return DIRECTIONS

    def fingerprint(self, embedder: str) -> str:
        """See `IndexContents`."""
        made_of = {"weights": self.dictionary.weights_sha256, "latents": sorted(self._latents.items())}
        return identity({**made_of, "embedder": embedder})

    def rows(self) -> Rows:
        """See `IndexContents`."""
        weights = self.dictionary.weights_sha256
        return Rows.of((f, f, digest_of(weights, i), 1.0) for f, i in sorted(self._latents.items()))

    def embed(self, rows: Rows) -> np.ndarray:
        """See `IndexContents`."""
        from autointerp.dictionaries.storage import load_dictionary
        from autointerp.search.embedders import unit

        folder = self.ctx.workspace.dictionary_dir(self.dictionary.name)
        directions = load_dictionary(folder, self.dictionary.weights_sha256).directions
        wanted = [self._latents[feature] for feature in rows.ids.tolist()]
        return unit(directions[wanted].float().cpu().numpy())


CONTENTS: dict[IndexKind, Callable[[Context, DictionaryRow], IndexContents]] = {
    "labels": LabelContents,
    "crops": CropContents,
    "decoder": DecoderContents,
}
"""The contents of each kind of index."""

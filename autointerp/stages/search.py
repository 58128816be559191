"""Features by concept text: full text over labels, label embeddings and crop embeddings, fused by rank."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import select

from autointerp.db import queries
from autointerp.db.models import Crop, Dictionary, Feature, Label
from autointerp.db.words import features_with_words
from autointerp.errors import AutointerpError, UsageError
from autointerp.search.indexes import read_index, read_note
from autointerp.search.ranking import reciprocal_rank_fusion
from autointerp.search.words import query_words
from autointerp.stages.context import Context
from autointerp.stages.index import index_path
from autointerp.stages.labeler_names import chosen_labelers

ROUTES = ("words", "labels", "crops")
_POOL = 200
"""Candidates of each route."""
_CROPS_A_FEATURE = 4
"""Crops that decide how well a feature's pictures fit: one chance hit is not enough."""


@dataclass(frozen=True)
class Hit:
    """One feature found. `similarity` is the cosine of its label, or of its crops where it has none."""

    feature: str
    name: str
    explanation: str
    score: float | None
    similarity: float | None
    feature_id: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The stable keys of `search --json`."""
        keys = ("feature", "name", "explanation", "score", "similarity")
        return {key: getattr(self, key) for key in keys}


def run_search(
    ctx: Context,
    query: str,
    layer: str | None = None,
    routes: tuple[str, ...] = ROUTES,
    count: int = 10,
    min_score: float | None = None,
    labeler: str | None = None,
) -> list[Hit]:
    """The features that fit a text best, best first, with the labels that count, or those of one labeler.

    Raises:
        UsageError: The text is empty, nothing is labeled yet, or there is no such labeler.
    """
    words = query_words(query)
    chosen = chosen_labelers(ctx, labeler)
    dictionaries = _searched(ctx, layer)
    ranked: dict[str, list[int]] = {}
    similarity: dict[int, float] = {}
    ids = [d.id for d in dictionaries]
    if "words" in routes:
        with ctx.db.session() as session:
            ranked["words"] = features_with_words(session, words, ids, _POOL, chosen)
    by_embedder = {name: vector for name, vector in _vectors(ctx, dictionaries, query).items()}
    if "crops" in routes:
        found = _best([_by_crops(ctx, d, by_embedder) for d in dictionaries])
        similarity.update(found)
        ranked["crops"] = list(found)
    if "labels" in routes:
        found = _best([_by_labels(ctx, d, by_embedder, chosen) for d in dictionaries])
        similarity.update(found)
        ranked["labels"] = list(found)
    fused = reciprocal_rank_fusion({route: found for route, found in ranked.items() if found})
    return _hits(ctx, [f.id for f in fused], similarity, count, min_score, chosen)


def _searched(ctx: Context, layer: str | None) -> list[Dictionary]:
    """The dictionaries a search covers: all, or the newest of a layer."""
    if layer is None:
        with ctx.db.session() as session:
            rows = queries.all_dictionaries(session)
            session.expunge_all()
    else:
        name = ctx.settings.dictionary.names.get(layer)
        row = ctx.dictionary_named(name) if name else ctx.dictionary_of(layer)
        rows = [] if row is None else [row]
    if not rows:
        where = f" of layer {layer}" if layer else ""
        raise AutointerpError(
            f"there is no labeled dictionary{where} here", f"run `autointerp label --layer {layer or 'mid'}` first"
        )
    return rows


def _vectors(ctx: Context, dictionaries: list[Dictionary], query: str) -> dict[str, np.ndarray]:
    """The query as a vector of each embedder that an index here was made with."""
    notes = [read_note(index_path(ctx, d, kind)) for d in dictionaries for kind in ("labels", "crops")]
    if not any(notes):
        return {}
    return {ctx.embedder.name: ctx.embedder.embed_texts([query])[0]}


def _by_labels(
    ctx: Context, dictionary: Dictionary, vectors: dict[str, np.ndarray], labelers: Collection[int] | None
) -> dict[int, float]:
    """Feature -> cosine of its label's name with the query."""
    if labelers is not None and vectors:
        # The index holds the labels that count, so those of one labeler are embedded here.
        with ctx.db.session() as session:
            names = {f: best.label.name for f, best in queries.best_labels(session, dictionary.id, labelers).items()}
        every = list(dict.fromkeys(names.values()))
        embedded = dict(zip(every, ctx.embedder.embed_texts(every) @ vectors[ctx.embedder.name], strict=True))
        return {feature: float(embedded[name]) for feature, name in names.items()}
    path = index_path(ctx, dictionary, "labels")
    note = read_note(path)
    if note is None or note.embedder not in vectors:
        return {}
    ids, near = read_index(path).search(vectors[note.embedder], _POOL)
    return {int(i): float(s) for i, s in zip(ids[0], near[0], strict=True) if i >= 0}


def _by_crops(ctx: Context, dictionary: Dictionary, vectors: dict[str, np.ndarray]) -> dict[int, float]:
    """Feature -> mean cosine of its few nearest top crops with the query."""
    path = index_path(ctx, dictionary, "crops")
    note = read_note(path)
    if note is None or note.embedder not in vectors:
        return {}
    ids, near = read_index(path).search(vectors[note.embedder], _POOL * _CROPS_A_FEATURE * 4)
    found = {int(i): float(s) for i, s in zip(ids[0], near[0], strict=True) if i >= 0}
    of_feature: dict[int, list[float]] = {}
    with ctx.db.session() as session:
        for part in queries.chunks(found):
            query = select(Crop.id, Crop.feature_id).where(Crop.id.in_(part), Crop.role == "top")
            for crop_id, feature_id in session.execute(query):
                of_feature.setdefault(feature_id, []).append(found[crop_id])
    floor = min(found.values(), default=0.0)
    means = {}
    for feature_id, values in of_feature.items():
        best = sorted(values, reverse=True)[:_CROPS_A_FEATURE]
        means[feature_id] = (sum(best) + floor * (_CROPS_A_FEATURE - len(best))) / _CROPS_A_FEATURE
    return means


def _best(parts: list[dict[int, float]]) -> dict[int, float]:
    """The candidates of several dictionaries together, best first."""
    joined = {feature: value for part in parts for feature, value in part.items()}
    return dict(sorted(joined.items(), key=lambda item: (-item[1], item[0]))[:_POOL])


def _hits(
    ctx: Context,
    feature_ids: list[int],
    similarity: dict[int, float],
    count: int,
    min_score: float | None,
    labelers: Collection[int] | None,
) -> list[Hit]:
    """The first `count` features in order, with their labels and scores."""
    hits: list[Hit] = []
    with ctx.db.session() as session:
        for part in queries.chunks(feature_ids):
            rows = {
                feature_id: (name, latent, dictionary_id)
                for feature_id, latent, name, dictionary_id in session.execute(
                    select(Feature.id, Feature.latent_index, Dictionary.name, Dictionary.id)
                    .join(Dictionary)
                    .where(Feature.id.in_(part))
                )
            }
            labels: dict[int, queries.BestLabel] = {}
            for dictionary_id in {row[2] for row in rows.values()}:
                labels.update(queries.best_labels(session, dictionary_id, labelers, feature_ids=part))
            scores = queries.scores_of_labels(session, [best.label.id for best in labels.values()])
            for feature_id in part:
                best = labels.get(feature_id)
                score = queries.headline_score(scores.get(best.label.id, [])) if best else None
                if min_score is not None and (score is None or score < min_score):
                    continue
                name, latent, _ = rows[feature_id]
                label: Label | None = best.label if best else None
                hits.append(
                    Hit(
                        f"{name}:{latent}",
                        label.name if label else "",
                        label.explanation if label else "",
                        score,
                        round(similarity[feature_id], 4) if feature_id in similarity else None,
                        feature_id,
                    )
                )
                if len(hits) == count:
                    return hits
    return hits


def check_routes(route: str | None) -> tuple[str, ...]:
    """The routes a user means.

    Raises:
        UsageError: There is no such route.
    """
    if route is None:
        return ROUTES
    if route not in ROUTES:
        raise UsageError(f"there is no route {route!r}", f"known: {', '.join(ROUTES)}")
    return (route,)

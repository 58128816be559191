"""Features by concept: full text, label embeddings and crop embeddings, each a route, fused by rank.

A `Searcher` opens indexes and embedders when a route first needs them, and keeps them for the next question.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from autointerp.db import queries
from autointerp.db.models import Crop, Dictionary, Feature, Image, Label
from autointerp.db.words import features_with_prompt_words, labels_with_words
from autointerp.errors import AutointerpError, UsageError
from autointerp.search.ranking import Fused, reciprocal_rank_fusion
from autointerp.search.words import query_words
from autointerp.stages.context import Context
from autointerp.stages.labeler_names import chosen_labelers

if TYPE_CHECKING:
    import numpy as np

    from autointerp.search.indexes import VectorIndex

ROUTES = ("words", "labels", "crops")
DECODER = "decoder"
"""The route that only `--like` has: features whose directions in the layer are alike."""
STATES = ("live", "dead", "dense")
PROMPTS = "prompts"
"""What the words of prompts find while labels hold some of them too: the end of the route `words`."""
WEIGHTS = {"words": 1.0, PROMPTS: 0.2, "labels": 0.5, "crops": 1.0, DECODER: 1.0}
"""What a route's rank counts in the fusion; words and labels are two readings of one label (docs/evaluation.md).

Prompts count so little that alone they never stand before a label's words, however far down those are.
"""
_POOL = 200
"""Candidates of each route."""


@dataclass(frozen=True)
class Question:
    """What is looked for: a text, the file of a picture, or what is like a feature (`DICTIONARY:INDEX`).

    Raises:
        UsageError: Not exactly one is given.
    """

    text: str | None = None
    image: Path | None = None
    like: str | None = None

    def __post_init__(self) -> None:
        if sum(given is not None for given in (self.text, self.image, self.like)) != 1:
            raise UsageError(
                "search needs one of TEXT, --image FILE and --like FEATURE",
                'say what to look for, e.g. autointerp search "red circle"',
            )

    @property
    def said(self) -> str:
        """The question, for people."""
        if self.text is not None:
            return repr(self.text)
        return f"what is like {self.image if self.like is None else self.like}"


@dataclass(frozen=True)
class Filters:
    """Which features a search looks among.

    `labeler` leaves those that it has named, under its names. `density` is a span, inclusive, of the share of cells
    where a feature is active. `step` is the denoising step at which a feature fires most.
    """

    layer: str | None = None
    dictionary: str | None = None
    labeler: str | None = None
    min_score: float | None = None
    state: str | None = None
    step: int | None = None
    density: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.state is not None and self.state not in STATES:
            raise UsageError(f"there is no state {self.state!r}", f"known: {', '.join(STATES)}")

    @property
    def of_features(self) -> bool:
        """Whether they leave features of a dictionary out."""
        return any(given is not None for given in (self.labeler, self.min_score, self.state, self.step, self.density))


@dataclass(frozen=True)
class Hit:
    """One feature found.

    `similarity` is the cosine of its label, or of its crops where it has none. `prompt` is that of the image in which
    it fires most. `ranks` are its places, from 1, in the routes that found it.
    """

    feature: str
    name: str
    explanation: str
    score: float | None
    similarity: float | None
    density: float = 0.0
    prompt: str = ""
    ranks: dict[str, int] = field(default_factory=dict)
    feature_id: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The stable keys of `search --json`."""
        keys = ("feature", "name", "explanation", "score", "similarity", "density", "prompt", "ranks")
        return {key: getattr(self, key) for key in keys}


@dataclass(frozen=True)
class _Found:
    """A candidate of a route; `label` is the label that it was found by, if it was found by one, and `sure` its
    confidence.
    """

    feature: int
    value: float
    label: int | None = None
    sure: float = 0.0


def run_search(
    ctx: Context,
    asked: str | Question,
    filters: Filters | None = None,
    routes: tuple[str, ...] | None = None,
    count: int = 10,
) -> list[Hit]:
    """The features that fit a question best, best first; see `Searcher.find`."""
    return Searcher(ctx).find(asked, filters, routes, count)


class Searcher:
    """Answers questions about one workspace as it is when a route is first taken."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self._indexes: dict[tuple[int, str], VectorIndex] = {}
        self._said: set[str] = set()

    def find(
        self,
        asked: str | Question,
        filters: Filters | None = None,
        routes: tuple[str, ...] | None = None,
        count: int = 10,
    ) -> list[Hit]:
        """The features that fit a question best, best first.

        Args:
            asked: A text, or another question.
            filters: Which features to look among; all if not given.
            routes: Of `ROUTES`, or `DECODER`; all that fit the question if not given. One that cannot be taken is left
                out with a note.
            count: How many features at most; each route gives 200.

        Raises:
            UsageError: The text is empty, `count` is less than 1, a name in the question or the filters does not exist,
                or the only route asked for cannot answer such a question.
            AutointerpError: There is no dictionary, the picture cannot be read, or no route can be taken.
        """
        if count < 1:
            raise UsageError(f"count is {count}", "ask for at least one feature")
        filters = filters or Filters()
        ranked, similarity = self.rank(asked, filters, routes)
        fused = reciprocal_rank_fusion(ranked, weights=WEIGHTS)
        return self._hits(fused[:count], similarity, chosen_labelers(self.ctx, filters.labeler))

    def rank(
        self, asked: str | Question, filters: Filters | None = None, routes: tuple[str, ...] | None = None
    ) -> tuple[dict[str, list[int]], dict[int, float]]:
        """Ids of the features of each route, best first, and the cosines of those that were found by vectors.

        Arguments and errors are those of `find`.
        """
        question = Question(asked) if isinstance(asked, str) else asked
        filters = filters or Filters()
        words = [] if question.text is None else query_words(question.text)
        dictionaries = self._searched(filters)
        labelers = chosen_labelers(self.ctx, filters.labeler)
        allowed = self._allowed(dictionaries, filters, labelers) if filters.of_features else None
        return self._ranked(question, words, dictionaries, routes, labelers, allowed)

    # Which features

    def _searched(self, filters: Filters) -> list[Dictionary]:
        """The dictionaries a search covers: all, a named one, or the newest of a layer."""
        ctx, layer = self.ctx, filters.layer
        if filters.dictionary is not None:
            rows = [ctx.dictionary_named(filters.dictionary)]
            if layer is not None and layer not in (rows[0].layer, rows[0].hookpoint):
                raise UsageError(f"{rows[0].name} is of layer {rows[0].layer}, not {layer}", "leave --layer out")
        elif layer is None:
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

    def _allowed(self, dictionaries: list[Dictionary], filters: Filters, labelers: list[int] | None) -> np.ndarray:
        """Ids of the features that the filters leave, int64 [n]."""
        ids = [d.id for d in dictionaries]
        query = select(Feature.id, Feature.steps).where(Feature.dictionary_id.in_(ids))
        if filters.state is not None:
            query = query.where(Feature.state == filters.state)
        if filters.density is not None:
            query = query.where(Feature.density.between(*filters.density))
        with self.ctx.db.session() as session:
            found = {feature for feature, steps in session.execute(query) if _fires_at(steps, filters.step)}
            if labelers is not None or filters.min_score is not None:
                best = {f: b for i in ids for f, b in queries.best_labels(session, i, labelers).items() if f in found}
                if filters.min_score is not None:
                    scores = queries.scores_of_labels(session, [b.label.id for b in best.values()])
                    value = {f: queries.headline_score(scores.get(b.label.id, [])) for f, b in best.items()}
                    best = {f: b for f, b in best.items() if (value[f] or 0.0) >= filters.min_score}
                found &= set(best)
        import numpy as np

        return np.array(sorted(found), np.int64)

    # Routes

    def _ranked(
        self,
        question: Question,
        words: list[str],
        dictionaries: list[Dictionary],
        routes: tuple[str, ...] | None,
        labelers: list[int] | None,
        allowed: np.ndarray | None,
    ) -> tuple[dict[str, list[int]], dict[int, float]]:
        """Features of each route, best first, and the cosines of those that routes of vectors found."""
        asking = _Asking(self, question, words)
        wanted = routes or (*ROUTES, *([DECODER] if question.like is not None else []))
        ranked: dict[str, list[int]] = {}
        similarity: dict[int, float] = {}
        off: dict[str, AutointerpError] = {}
        for route in wanted:
            try:
                if route == "words":
                    found = self._by_words(asking.words, dictionaries, labelers, allowed)
                else:
                    found = _best(self._by_vectors(route, asking, d, allowed) for d in dictionaries)
            except AutointerpError as error:
                off[route] = error
                continue
            found = [one for one in self._that_count(found, dictionaries, labelers) if one.feature != asking.own]
            named = [one for one in found if one.label is not None]
            if route == "words" and named:
                ranked[PROMPTS] = list(dict.fromkeys(one.feature for one in found if one.label is None))[:_POOL]
                found = named
            ranked[route] = list(dict.fromkeys(one.feature for one in found))[:_POOL]
            if route != "words":
                for one in found:
                    similarity.setdefault(one.feature, one.value)
        if off and len(off) == len(wanted):
            raise min(off.values(), key=lambda error: isinstance(error, _DoesNotApply))
        # What a picture does not have is no news; an embedder that is not there is.
        reasons = {route: str(why) for route, why in off.items() if not isinstance(why, _DoesNotApply)}
        for reason in dict.fromkeys(reasons.values()):
            those = [route for route, why in reasons.items() if why == reason]
            if reason not in self._said:
                self._said.add(reason)
                self.ctx.progress.note(f"without the route{'s' * (len(those) > 1)} {' and '.join(those)}: {reason}")
        return ranked, similarity

    def _by_words(
        self,
        words: list[str],
        dictionaries: list[Dictionary],
        labelers: list[int] | None,
        allowed: np.ndarray | None,
    ) -> list[_Found]:
        """Features by the words of their labels, then by those of their prompts.

        Prompts say much that a feature is not about. So they count where there is no label, and for all features where
        no label holds any of the words.
        """
        ids = [d.id for d in dictionaries]
        limit = 2 * _POOL if allowed is None else None
        with self.ctx.db.session() as session:
            named = labels_with_words(session, words, ids, limit, labelers)
            told = features_with_prompt_words(session, words, ids, limit)
            if named:
                labeled = queries.features_with_label(session, [hit.feature_id for hit in told])
                told = [hit for hit in told if hit.feature_id not in labeled]
        left = None if allowed is None else set(allowed.tolist())
        return [
            _Found(hit.feature_id, hit.score, hit.label_id)
            for hit in (*named, *told)
            if left is None or hit.feature_id in left
        ]

    def _by_vectors(
        self, route: str, asking: _Asking, dictionary: Dictionary, allowed: np.ndarray | None
    ) -> list[_Found]:
        """Candidates of one dictionary, best first."""
        vector = asking.vector(route)
        if route == DECODER and asking.space_of(dictionary) != asking.space:
            return []
        index = self.index(dictionary, route)
        if route == "crops":
            features, near = index.nearest_groups(vector, _POOL, allowed)
            return [_Found(feature, value) for feature, value in zip(features.tolist(), near.tolist(), strict=True)]
        ids, features, near = (found[0] for found in index.search(vector, 2 * _POOL, allowed))
        if route == DECODER:
            pairs = zip(features.tolist(), near.tolist(), strict=True)
            return [_Found(feature, value) for feature, value in pairs if feature >= 0]
        found = ids >= 0
        sure = index.weights(ids[found])
        rows = zip(ids[found].tolist(), features[found].tolist(), near[found].tolist(), sure.tolist(), strict=True)
        return [_Found(feature, value, label, confidence) for label, feature, value, confidence in rows]

    def _that_count(
        self, found: list[_Found], dictionaries: list[Dictionary], labelers: list[int] | None
    ) -> list[_Found]:
        """Without those that were found by a label that is not the one that is shown for the feature."""
        several = {d.id for d in dictionaries if self._labelers.get(d.id, 0) > 1}
        if not several or not any(one.label is not None for one in found):
            return found
        with self.ctx.db.session() as session:
            of = [one.feature for one in found if one.label is not None]
            best = {
                f: b.label.id
                for i in several
                for f, b in queries.best_labels(session, i, labelers, feature_ids=of).items()
            }
            elsewhere = {d.id for d in dictionaries} - several
            alone = {
                feature
                for part in (queries.chunks(of) if elsewhere else ())
                for feature in session.scalars(
                    select(Feature.id).where(Feature.id.in_(part), Feature.dictionary_id.in_(elsewhere))
                )
            }
        return [one for one in found if one.label is None or one.feature in alone or best.get(one.feature) == one.label]

    @cached_property
    def _labelers(self) -> dict[int, int]:
        """Dictionary id -> by how many labelers it is labeled."""
        query = select(Feature.dictionary_id, func.count(Label.labeler_id.distinct())).join(Label)
        with self.ctx.db.session() as session:
            return {d: count for d, count in session.execute(query.group_by(Feature.dictionary_id))}

    def index(self, dictionary: Dictionary, kind: str) -> VectorIndex:
        """A dictionary's index of a kind, brought up to date when it is opened."""
        key = (dictionary.id, kind)
        if key not in self._indexes:
            from autointerp.stages.index import open_index  # Words are found without it.

            self._indexes[key] = open_index(self.ctx, dictionary, kind, reading=True)
        return self._indexes[key]

    # What is shown

    def _hits(self, fused: Sequence[Fused], similarity: dict[int, float], labelers: list[int] | None) -> list[Hit]:
        """Features in order, with their labels, scores and best prompts."""
        ids = [f.id for f in fused]
        rows: dict[int, tuple[Feature, Dictionary]] = {}
        prompts: dict[int, str] = {}
        labels: dict[int, queries.BestLabel] = {}
        with self.ctx.db.session() as session:
            for part in queries.chunks(ids):
                features = select(Feature, Dictionary).join(Dictionary).where(Feature.id.in_(part))
                rows |= {f.id: (f, d) for f, d in session.execute(features)}
                # The strongest of both splits; the last one stays.
                strongest = select(Crop.feature_id, Image.prompt).join(Image, Image.id == Crop.image_id)
                strongest = strongest.where(Crop.feature_id.in_(part), Crop.role == "top", Crop.rank == 0)
                prompts |= dict(session.execute(strongest.order_by(Crop.activation, Crop.id.desc())).all())  # type: ignore[arg-type]
            for dictionary in {d.id for _, d in rows.values()}:
                labels |= queries.best_labels(session, dictionary, labelers, feature_ids=ids)
            scores = queries.scores_of_labels(session, [best.label.id for best in labels.values()])
            hits = []
            for one in fused:
                feature, dictionary_row = rows[one.id]
                best = labels.get(one.id)
                hits.append(
                    Hit(
                        f"{dictionary_row.name}:{feature.latent_index}",
                        best.label.name if best else "",
                        best.label.explanation if best else "",
                        queries.headline_score(scores.get(best.label.id, [])) if best else None,
                        round(similarity[one.id], 4) if one.id in similarity else None,
                        feature.density,
                        prompts.get(one.id, ""),
                        one.ranks,
                        one.id,
                    )
                )
        return hits


class _DoesNotApply(UsageError):
    """A route cannot answer such a question, whatever is installed."""


class _Asking:
    """A question as each route takes it, made when the route is taken."""

    def __init__(self, searcher: Searcher, question: Question, words: list[str]) -> None:
        self.searcher, self.ctx, self.question, self._words = searcher, searcher.ctx, question, words
        self._vectors: dict[str, np.ndarray] = {}
        self.own: int | None = None
        """The feature that is asked about, which is not an answer."""
        self.space: tuple[Any, ...] = ()
        """The layer whose directions can be compared with its own."""
        if question.like is not None:
            from autointerp.stages.read import find_feature

            self._dictionary, feature = find_feature(self.ctx, question.like)
            self.own, self.space, self._dead = feature.id, self.space_of(self._dictionary), feature.state == "dead"
            with self.ctx.db.session() as session:
                best = queries.best_label(session, feature.id)
                self._label = None if best is None else (best.label.id, best.label.name)

    def _unnamed(self) -> _DoesNotApply:
        if self._dead:
            return _DoesNotApply(f"{self.question.like} is dead and has no label", "name a feature that fires")
        return _DoesNotApply(f"{self.question.like} has no label", "use --route crops or decoder")

    @staticmethod
    def space_of(dictionary: Dictionary) -> tuple[Any, ...]:
        d = dictionary
        return (d.model, d.revision, d.hookpoint, d.signal, d.stream, d.d_in)

    @property
    def words(self) -> list[str]:
        """The words to look for; raises `UsageError` where there are none."""
        if self.question.text is not None:
            return self._words
        if self.question.image is not None:
            raise _DoesNotApply("a picture has no words", "use --route labels or crops")
        if self._label is None:
            raise self._unnamed()
        return query_words(self._label[1])

    def vector(self, route: str) -> np.ndarray:
        """The question in the space of a route's index, float32 [dim]."""
        if route not in self._vectors:
            self._vectors[route] = self._made(route)
        return self._vectors[route]

    def _made(self, route: str) -> np.ndarray:
        import numpy as np

        if self.question.like is not None:
            return self._of_feature(route)
        if route == DECODER:
            raise _DoesNotApply("the route decoder compares features alone", "name one: --like DICTIONARY:INDEX")
        embedder: Any = self.ctx.text_embedder if route == "labels" else self.ctx.embedder
        if self.question.text is not None:
            return np.asarray(embedder.embed_texts([self.question.text])[0])
        if embedder.name != self.ctx.embedder.name:
            raise _DoesNotApply(f"the embedder of labels, {embedder.name}, sees no pictures", "use --route crops")
        assert self.question.image is not None
        from autointerp.diffusion.pictures import open_picture

        try:
            return np.asarray(embedder.embed_images([open_picture(self.question.image.read_bytes())])[0])
        except (OSError, ValueError, SyntaxError) as error:
            reason = getattr(error, "strerror", None) or "it is no picture that can be read"
            raise AutointerpError(
                f"cannot read {self.question.image}: {reason}", "name the file of a picture"
            ) from None

    def _of_feature(self, route: str) -> np.ndarray:
        import numpy as np

        index = self.searcher.index(self._dictionary, route)
        if route == "labels":
            if self._label is None:
                raise self._unnamed()
            return np.asarray(index.vectors([self._label[0]])[0])
        rows = index.rows
        own = rows.ids[rows.groups == self.own]
        if not len(own):
            raise _DoesNotApply(f"{self.question.like} is dead: it has no {route}", "name a feature that fires")
        mean = index.vectors(own).mean(0)
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), np.float32)


def _fires_at(steps: dict[str, float], step: int | None) -> bool:
    """Whether a feature fires at this denoising step at least as much as at any other."""
    return step is None or (str(step) in steps and steps[str(step)] >= max(steps.values()))


def _best(parts: Iterable[list[_Found]]) -> list[_Found]:
    """The candidates of several dictionaries together, best first; of equal ones that of the surer labeler."""
    joined = [one for part in parts for one in part]
    return sorted(joined, key=lambda one: (-round(one.value, 5), -one.sure, one.feature, one.label or 0))


def check_routes(route: str | None) -> tuple[str, ...] | None:
    """The routes a user means; None for all that fit the question.

    Raises:
        UsageError: There is no such route.
    """
    if route in (None, "all"):
        return None
    if route not in (*ROUTES, DECODER):
        raise UsageError(f"there is no route {route!r}", f"known: {', '.join((*ROUTES, DECODER))}, all")
    return (str(route),)

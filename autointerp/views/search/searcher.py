"""The searcher: takes the routes that fit a question, and fuses what they find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from autointerp.db import DatabaseError, queries
from autointerp.db.models import DictionaryRow, IndexKind
from autointerp.errors import AutointerpError, UsageError
from autointerp.project.context import Context
from autointerp.search.questions import QUESTIONS, QuestionVectors
from autointerp.search.ranking import Fused, reciprocal_rank_fusion
from autointerp.search.words import query_words
from autointerp.views.search.hits import Hit, read_hits
from autointerp.views.search.question import RouteDoesNotApply, SearchQuestion, find_reference
from autointerp.views.search.route import (
    POOL,
    ROUTES,
    WEIGHTS,
    AskedQuestion,
    Candidate,
    IndexOpener,
    Route,
)
from autointerp.views.search.scope import SearchFilters, SearchScope, find_scope

if TYPE_CHECKING:
    from autointerp.search.vector_index import VectorIndex


@dataclass(frozen=True)
class RankedFeatures:
    """Ranked lists of features for one question.

    Attributes:
        by_list: Name of a ranked list -> ids of features, best first. A list is named as its route; `prompts` is
            the second list of the route `words`.
        similarity: Feature id -> cosine, of the features that were found by vectors.
    """

    by_list: dict[str, list[int]]
    similarity: dict[int, float]

    def fused(self) -> list[Fused]:
        """Fuse the lists by reciprocal rank, best first."""
        return reciprocal_rank_fusion(self.by_list, weights=WEIGHTS)


class Searcher:
    """Answers questions about one workspace.

    Indexes and embedders are opened when a route first needs them, and are kept for the next question.

    Args:
        ctx: The workspace.
        open_index: Opens a dictionary's index, see `stages.index.opening.fresh_indexes`.
        remembered: Vectors of questions that were asked before; those of the workspace's file if not given, so that a
            question loads no model twice, whether the command line or Python asks it.
    """

    def __init__(self, ctx: Context, open_index: IndexOpener, remembered: QuestionVectors | None = None) -> None:
        self.ctx = ctx
        self._remembered = remembered or QuestionVectors(ctx.workspace.indexes_dir / QUESTIONS)
        self._open_index = open_index
        self._indexes: dict[tuple[int, IndexKind], VectorIndex] = {}
        self._noted: set[str] = set()

    def find(
        self,
        asked: str | SearchQuestion,
        filters: SearchFilters | None = None,
        routes: Sequence[str] | None = None,
        count: int = 10,
    ) -> list[Hit]:
        """Return the features that fit a question best, best first.

        Args:
            asked: A text, or another question.
            filters: Which features to look among; all if not given.
            routes: Names of routes (`ROUTES`); all that fit the question if not given. A route that cannot be taken is
                left out with a note.
            count: Features at most; each route gives 200.

        Raises:
            UsageError: The text is empty, `count` is less than 1, a name in the question or the filters does not exist,
                or the only route asked for cannot answer such a question.
            AutointerpError: There is no dictionary, the picture cannot be read, or no route can be taken.
        """
        if count < 1:
            raise UsageError(f"count is {count}", "ask for at least one feature")
        question = _question(asked)
        scope = find_scope(self.ctx, filters or SearchFilters())
        ranked = self._rank(question, scope, routes)
        return read_hits(self.ctx, ranked.fused()[:count], ranked.similarity, scope.labelers)

    def rank(
        self,
        asked: str | SearchQuestion,
        filters: SearchFilters | None = None,
        routes: Sequence[str] | None = None,
    ) -> RankedFeatures:
        """Return what each route finds; arguments and errors are those of `find`."""
        question = _question(asked)
        return self._rank(question, find_scope(self.ctx, filters or SearchFilters()), routes)

    def index(self, dictionary: DictionaryRow, kind: IndexKind) -> VectorIndex:
        """Return a dictionary's index of a kind, opened once."""
        key = (dictionary.id, kind)
        if key not in self._indexes:
            self._indexes[key] = self._open_index(dictionary, kind)
        return self._indexes[key]

    def _rank(self, question: SearchQuestion, scope: SearchScope, routes: Sequence[str] | None) -> RankedFeatures:
        """Take each route and rank the features that it finds."""
        reference = None if question.like is None else find_reference(self.ctx, question.like)
        asked = AskedQuestion(self.ctx, question, reference, self.index, self._remembered)
        wanted = routes or [name for name, kind in ROUTES.items() if reference is not None or not kind.for_references]
        ranked = RankedFeatures({}, {})
        failures: dict[str, AutointerpError] = {}
        for name in wanted:
            route = ROUTES.check(name).load()()
            try:
                candidates = route.find(asked, scope)
            except DatabaseError:
                raise
            except AutointerpError as error:
                failures[name] = error
                continue
            shown = self._shown_labels_alone(candidates, scope)
            _add(ranked, route, [one for one in shown if reference is None or one.feature != reference.id])
        if failures and len(failures) == len(wanted):
            raise min(failures.values(), key=lambda error: isinstance(error, RouteDoesNotApply))
        self._note_failures(failures)
        return ranked

    def _note_failures(self, failures: Mapping[str, AutointerpError]) -> None:
        """Note each reason for which routes were left out, once for a searcher.

        A route that does not apply is no news. A missing embedder is.
        """
        reasons = {name: str(error) for name, error in failures.items() if not isinstance(error, RouteDoesNotApply)}
        for reason in dict.fromkeys(reasons.values()):
            if reason in self._noted:
                continue
            self._noted.add(reason)
            names = [name for name, other in reasons.items() if other == reason]
            self.ctx.progress.note(f"without the route{'s' * (len(names) > 1)} {' and '.join(names)}: {reason}")

    def _shown_labels_alone(self, candidates: list[Candidate], scope: SearchScope) -> list[Candidate]:
        """Leave out candidates that were found by a label other than the one that is shown for the feature.

        Only dictionaries with several labelers can have such labels.
        """
        several = {d.id for d in scope.dictionaries if self._labeler_counts.get(d.id, 0) > 1}
        found_by_label = [one.feature for one in candidates if one.label is not None]
        if not several or not found_by_label:
            return candidates
        with self.ctx.db.session() as session:
            shown = {
                feature: best.label.id
                for dictionary in several
                for feature, best in queries.labels.best(
                    session, dictionary, scope.labelers, feature_ids=found_by_label
                ).items()
            }
            others = set(scope.dictionary_ids) - several
            with_one_labeler = queries.features.among(session, found_by_label, others) if others else set()
        return [
            one
            for one in candidates
            if one.label is None or one.feature in with_one_labeler or shown.get(one.feature) == one.label
        ]

    @cached_property
    def _labeler_counts(self) -> dict[int, int]:
        """Dictionary id -> number of labelers that have labeled it."""
        with self.ctx.db.session() as session:
            return queries.labelers.counts(session)


def _question(asked: str | SearchQuestion) -> SearchQuestion:
    """Return the question; raises `UsageError` where its text holds no word."""
    question = SearchQuestion(asked) if isinstance(asked, str) else asked
    if question.text is not None:
        query_words(question.text)
    return question


def _add(ranked: RankedFeatures, route: Route, candidates: Sequence[Candidate]) -> None:
    """Add what a route found to the lists; a feature's cosine is that of the first route that gives one."""
    for name, several in route.ranked_lists(candidates).items():
        ranked.by_list[name] = list(dict.fromkeys(one.feature for one in several))[:POOL]
    if route.gives_cosines:
        for one in candidates:
            ranked.similarity.setdefault(one.feature, one.value)

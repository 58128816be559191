"""Searches from pages: one at a time, with indexes and embedder kept warm, renewed when labels change."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from autointerp.search.questions import QuestionVectors
from autointerp.stages.index.opening import fresh_indexes
from autointerp.views.search.searcher import Searcher
from autointerp.views.stamps import Stamps

if TYPE_CHECKING:
    from autointerp.project.context import Context
    from autointerp.views.search.hits import Hit
    from autointerp.views.search.question import SearchQuestion
    from autointerp.views.search.scope import SearchFilters
    from autointerp.web.notes import CollectedNotes


class SearchAnswer(NamedTuple):
    """The hits of a search, best first, and what is to be said of it, such as a route that could not be taken."""

    hits: list[Hit]
    notes: list[str]


class SearchDesk:
    """Answers questions of many readers with one searcher.

    Args:
        ctx: The workspace.
        notes: What collects its notes.
        read_only: Vectors of questions are kept in memory alone.
    """

    def __init__(self, ctx: Context, notes: CollectedNotes, read_only: bool = False) -> None:
        self.ctx, self.notes = ctx, notes
        self._remembered = QuestionVectors() if read_only else None
        self._lock = threading.Lock()
        self._stamps = Stamps(ctx.db)
        self._searcher: Searcher | None = None
        self._state: tuple[int, ...] | None = None

    def find(
        self,
        question: SearchQuestion,
        filters: SearchFilters | None = None,
        routes: Sequence[str] | None = None,
        count: int = 48,
    ) -> SearchAnswer:
        """Return the features that fit; arguments and errors are those of `Searcher.find`."""
        with self._lock, self.notes.listen() as said:
            hits = self._fresh().find(question, filters, routes, count)
            # That a model is loaded is news while one waits for it, and not on the page that follows.
            return SearchAnswer(hits, [note for note in said if not note.startswith("loading ")])

    def _fresh(self) -> Searcher:
        """Return the searcher; a new one where features or labels changed since it opened its indexes."""
        state = self._stamps.named()
        if self._searcher is None or state != self._state:
            self._searcher = Searcher(self.ctx, fresh_indexes(self.ctx), self._remembered)
            self._state = state
        return self._searcher

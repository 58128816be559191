"""The route `words`: full text over names and explanations of labels, and over prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from autointerp.db import queries
from autointerp.views.search.question import words_of
from autointerp.views.search.route import POOL, PROMPTS, AskedQuestion, Candidate
from autointerp.views.search.scope import SearchScope


class WordsRoute:
    """Finds features by the words of their labels, then by the words of their prompts.

    Prompts say much that a feature is not about. Therefore a feature with a label is found by its prompts only if no
    label holds any of the words.
    """

    name: ClassVar[str] = "words"
    gives_cosines: ClassVar[bool] = False

    def find(self, asked: AskedQuestion, scope: SearchScope) -> list[Candidate]:
        """Return the candidates of labels, best first, then those of prompts; see `Route`."""
        words = words_of(asked.question, asked.reference)
        limit = 2 * POOL if scope.features is None else None
        with asked.ctx.db.session() as session:
            by_label = queries.words.labels_with_words(session, words, scope.dictionary_ids, limit, scope.labelers)
            by_prompt = queries.words.features_with_prompt_words(session, words, scope.dictionary_ids, limit)
            if by_label:
                labeled = queries.labels.labeled_features(session, [hit.feature_id for hit in by_prompt])
                by_prompt = [hit for hit in by_prompt if hit.feature_id not in labeled]
        passing = None if scope.features is None else set(scope.features.tolist())
        return [
            Candidate(hit.feature_id, hit.score, hit.label_id)
            for hit in (*by_label, *by_prompt)
            if passing is None or hit.feature_id in passing
        ]

    def ranked_lists(self, candidates: Sequence[Candidate]) -> dict[str, list[Candidate]]:
        """Rank candidates found by prompts in a list of their own where any was found by its label."""
        by_label = [one for one in candidates if one.label is not None]
        if not by_label:
            return {self.name: list(candidates)}
        return {PROMPTS: [one for one in candidates if one.label is None], self.name: by_label}

"""Words find labels first; prompts find what has no label."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.project.context import Context
from autointerp.views.search.question import SearchQuestion
from autointerp.views.search.route import PROMPTS, AskedQuestion, Candidate
from autointerp.views.search.scope import SearchFilters, SearchScope, find_scope
from autointerp.views.search.words import WordsRoute


def find(ctx: Context, text: str, scope: SearchScope | None = None) -> list[Candidate]:
    def open_index(*_: object) -> None:
        pytest.fail("words need no index")

    asked = AskedQuestion(ctx, SearchQuestion(text), None, open_index)  # type: ignore[arg-type]
    return WordsRoute().find(asked, scope or find_scope(ctx, SearchFilters()))


def test_labels_hold_the_words(small: Context) -> None:
    assert [(one.feature, one.label) for one in find(small, "blue")] == [(3, 3)]
    # Labeled features are not found by their prompts while a label holds a word.
    assert {one.feature for one in find(small, "red")} == {1}


def test_prompts_count_where_no_label_holds_the_words(small: Context) -> None:
    found = find(small, "3")
    assert [(one.feature, one.label) for one in found] == [(3, None)]
    assert list(WordsRoute().ranked_lists(found)) == ["words"]


def test_filters_hold(small: Context) -> None:
    scope = find_scope(small, SearchFilters())
    assert find(small, "red", SearchScope(scope.dictionaries, None, np.array([3]))) == []
    assert {one.label for one in find(small, "red", SearchScope(scope.dictionaries, [2]))} == {2}


def test_prompts_are_a_list_of_their_own_beside_labels() -> None:
    by_label, by_prompt = Candidate(1, 2.0, label=5), Candidate(2, 3.0)
    lists = WordsRoute().ranked_lists([by_label, by_prompt])
    assert list(lists.items()) == [(PROMPTS, [by_prompt]), ("words", [by_label])]

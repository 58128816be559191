"""Candidates of vectors are in one order, whatever index they are of."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from autointerp.project.context import Context
from autointerp.views.search.question import RouteDoesNotApply, SearchQuestion, find_reference
from autointerp.views.search.route import Candidate
from autointerp.views.search.scope import SearchFilters, find_scope
from autointerp.views.search.vectors import VectorRoute, mean_vector

from ..conftest import NAME, a_dictionary
from .indexes import EAST, NORTH, Opener, asked


class Given(VectorRoute):
    """Finds given candidates, half in each of two dictionaries."""

    name: ClassVar[str] = "given"
    kind: ClassVar[Any] = "crops"

    def __init__(self, *parts: list[Candidate]) -> None:
        self.parts = list(parts)

    def vector(self, asked: Any) -> np.ndarray:
        return np.array(EAST)

    def nearest(self, index: Any, vector: np.ndarray, features: Any) -> list[Candidate]:
        return self.parts.pop(0)


def test_the_more_confident_label_and_then_the_older_feature_comes_first(small: Context) -> None:
    with small.db.session() as session:
        session.add(a_dictionary("other", "late"))
    a, b = Candidate(1, 0.5, 1, 0.2), Candidate(2, 0.500001, 2, 0.1)
    c, d = Candidate(3, 0.9, 3, 0.1), Candidate(4, 0.5, 4, 0.2)
    rows = [(1, 1, 1.0, EAST)]
    scope = find_scope(small, SearchFilters())
    found = Given([b, a], [d, c]).find(asked(small, Opener(crops=rows), SearchQuestion("x")), scope)
    assert [one.feature for one in found] == [3, 1, 4, 2]
    assert list(Given().ranked_lists(found)) == ["given"]


def test_a_dead_feature_has_no_mean(small: Context) -> None:
    opener = Opener(crops=[(1, 1, 4.0, EAST), (2, 1, 1.0, NORTH)])
    question = asked(small, opener, SearchQuestion(like=f"{NAME}:0"))
    mean = mean_vector(question, find_reference(small, f"{NAME}:0"), "crops")
    assert np.linalg.norm(mean) == pytest.approx(1)
    assert mean[0] == pytest.approx(mean[1])
    with pytest.raises(RouteDoesNotApply, match="is dead: it has no crops"):
        mean_vector(question, find_reference(small, f"{NAME}:1"), "crops")

"""The route `decoder` compares directions of one layer, for a feature alone."""

from __future__ import annotations

import pytest

from autointerp.project.context import Context
from autointerp.views.search.decoder import DecoderRoute
from autointerp.views.search.question import RouteDoesNotApply, SearchQuestion, find_reference
from autointerp.views.search.scope import SearchFilters, find_scope

from ..conftest import NAME, a_dictionary
from .indexes import BETWEEN, EAST, NORTH, Opener, asked

ROWS = [(1, 1, 1.0, EAST), (3, 3, 1.0, BETWEEN), (4, 4, 1.0, NORTH)]


def test_only_dictionaries_of_the_same_layer_are_asked(small: Context) -> None:
    with small.db.session() as session:
        session.add(a_dictionary("late", "late"))
        session.add(a_dictionary("wide", "mid", d_in=16))
    name, opener = f"{NAME}:0", Opener(decoder=ROWS)
    question = asked(small, opener, SearchQuestion(like=name), find_reference(small, name))
    found = DecoderRoute().find(question, find_scope(small, SearchFilters()))
    assert [(one.feature, round(one.value, 4)) for one in found] == [(1, 1.0), (3, 0.8), (4, 0.0)]
    assert set(opener.opened) == {f"{NAME}.decoder"}


def test_a_text_has_no_direction(small: Context) -> None:
    with pytest.raises(RouteDoesNotApply, match="compares features alone"):
        DecoderRoute().vector(asked(small, Opener(decoder=ROWS), SearchQuestion("red")))

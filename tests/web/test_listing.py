"""The query of a list's address."""

from __future__ import annotations

import pytest

from autointerp.db.queries.scores import ScoreFloor
from autointerp.errors import UsageError
from autointerp.web.listing import KEYS, ListQuery


def test_words_of_the_address() -> None:
    query = ListQuery(min_score="gain=0.5", density="0.001:", q=" ")
    assert query.floor == ScoreFloor(0.5, "gain")
    assert query.span == (0.001, 1.0)
    assert (query.is_search, query.order) == (False, "number")
    assert ListQuery(min_score="0.7").floor == ScoreFloor(0.7, "")
    assert ListQuery(density=":0.1").span == (0.0, 0.1)
    assert (ListQuery().floor, ListQuery().span) == (None, None)
    assert ListQuery(like="a:1").is_search


def test_a_link_keeps_what_leads_from_page_to_page() -> None:
    query = ListQuery(q="red", sort="score", after="a:1", limit=7)
    link = query.link(sort="doubt")
    assert set(link) == set(KEYS)
    assert (link["q"], link["sort"]) == ("red", "doubt")


@pytest.mark.parametrize(
    "given", [{"min_score": "x"}, {"min_score": "nan"}, {"min_score": "a=0.5"}, {"density": "0.5"}]
)
def test_what_cannot_be_read_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        _ = (ListQuery(**given).floor, ListQuery(**given).span)  # type: ignore[arg-type]


def test_nan_is_no_density() -> None:
    with pytest.raises(UsageError):
        _ = ListQuery(density="nan:1").span

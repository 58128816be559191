"""Every route of the registry is a route of its name, with a weight in the fusion."""

from __future__ import annotations

import pytest

from autointerp.errors import UsageError
from autointerp.views.search.route import PROMPTS, ROUTES, WEIGHTS, check_routes


@pytest.mark.parametrize("name", ROUTES)
def test_a_row_leads_to_its_class(name: str) -> None:
    route = ROUTES[name].load()()
    assert route.name == name
    assert route.gives_cosines == (name != "words")
    assert set(route.ranked_lists([])) == {name}


def test_every_list_has_a_weight() -> None:
    assert set(WEIGHTS) == {*ROUTES, PROMPTS}
    # Whatever their ranks, prompts alone never come before a label's words.
    assert WEIGHTS[PROMPTS] / (60 + 1) < WEIGHTS["words"] / (60 + 200)


def test_the_name_of_a_route() -> None:
    assert check_routes(None) is None
    assert check_routes("all") is None
    assert check_routes("crops") == ("crops",)
    with pytest.raises(UsageError, match="known: words, labels, crops, decoder, all"):
        check_routes("images")

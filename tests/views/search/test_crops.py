"""The route `crops` compares the weighted means of features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autointerp.project.context import Context
from autointerp.views.search.crops import CropsRoute
from autointerp.views.search.question import SearchQuestion, find_reference
from autointerp.views.search.scope import SearchFilters, SearchScope, find_scope

from ..conftest import NAME
from .indexes import EAST, NORTH, Opener, asked

ROWS = [(1, 1, 4.0, EAST), (2, 1, 3.0, NORTH), (4, 3, 2.0, EAST)]


def test_texts_pictures_and_features(small: Context, tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    scope = find_scope(small, SearchFilters())
    for question in (SearchQuestion("red"), SearchQuestion(image=tmp_path / "x.png")):
        nearest, other = CropsRoute().find(asked(small, Opener(crops=ROWS), question), scope)
        assert (nearest.feature, nearest.label) == (3, None)
        assert nearest.value == pytest.approx(1)
        assert other.feature == 1
        assert other.value == pytest.approx(0.8)
    name = f"{NAME}:0"
    like = asked(small, Opener(crops=ROWS), SearchQuestion(like=name), find_reference(small, name))
    assert np.allclose(CropsRoute().vector(like), np.sqrt([0.5, 0.5]))


def test_filters_hold(small: Context) -> None:
    scope = SearchScope(find_scope(small, SearchFilters()).dictionaries, None, np.array([1]))
    found = CropsRoute().find(asked(small, Opener(crops=ROWS), SearchQuestion("red")), scope)
    assert [one.feature for one in found] == [1]

"""The route `labels` compares names; of equal ones the more confident label comes first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from autointerp.project.context import Context
from autointerp.views.search.labels import LabelsRoute
from autointerp.views.search.question import RouteDoesNotApply, SearchQuestion, find_reference
from autointerp.views.search.scope import SearchFilters, find_scope

from ..conftest import NAME
from .indexes import BETWEEN, EAST, NORTH, Opener, Plane, asked

ROWS = [(1, 1, 0.9, NORTH), (2, 1, 0.5, BETWEEN), (3, 3, 0.8, EAST), (4, 4, 0.95, EAST)]


def found(ctx: Context, question: SearchQuestion, reference: Any = None) -> list[tuple[int, int | None]]:
    candidates = LabelsRoute().find(
        asked(ctx, Opener(labels=ROWS), question, reference), find_scope(ctx, SearchFilters())
    )
    return [(one.feature, one.label) for one in candidates]


def test_texts_and_pictures(small: Context, tmp_path: Path) -> None:
    order = [(4, 4), (3, 3), (1, 2), (1, 1)]
    assert found(small, SearchQuestion("red")) == order
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    assert found(small, SearchQuestion(image=tmp_path / "x.png")) == order


def test_a_feature_is_looked_for_by_its_own_label(small: Context) -> None:
    reference = find_reference(small, f"{NAME}:0")
    assert found(small, SearchQuestion(like=f"{NAME}:0"), reference)[0] == (1, 1)
    bare = find_reference(small, f"{NAME}:3")
    with pytest.raises(RouteDoesNotApply, match="has no label"):
        found(small, SearchQuestion(like=f"{NAME}:3"), bare)


def test_an_embedder_of_texts_alone_sees_no_picture(small: Context) -> None:
    class Texts(Plane):
        name = "texts"

    question = asked(small, Opener(labels=ROWS), SearchQuestion(image=Path("x.png")))
    small.text_embedder = Texts()
    with pytest.raises(RouteDoesNotApply, match="the embedder of labels, texts, sees no pictures"):
        LabelsRoute().vector(question)

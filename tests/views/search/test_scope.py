"""Filters choose dictionaries and features."""

from __future__ import annotations

from typing import Any

import pytest

from autointerp.db.queries.scores import ScoreFloor
from autointerp.errors import AutointerpError, UsageError
from autointerp.project.context import Context
from autointerp.project.settings import Settings
from autointerp.project.workspace import WorkspaceFolder
from autointerp.views.search.scope import SearchFilters, find_scope

from ..conftest import NAME, a_dictionary


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        ({"state": "live"}, [1, 3]),
        ({"state": "dense"}, [4]),
        ({"density": (0.1, 0.2)}, [1, 3]),
        ({"step": 0}, [3, 4]),
        ({"step": 1}, [1]),
        ({"step": 7}, []),
        ({"min_score": ScoreFloor(0.6)}, [1, 3]),
        ({"min_score": ScoreFloor(0.65)}, [1]),
        ({"min_score": ScoreFloor(0.6, "embedding")}, [1, 3]),
        ({"min_score": ScoreFloor(0.0, "detection")}, []),
        ({"labeler": "vlm"}, [1]),
        ({"labeler": "clip", "step": 0}, [3]),
    ],
)
def test_features_that_pass(small: Context, filters: dict[str, Any], left: list[int]) -> None:
    scope = find_scope(small, SearchFilters(**filters))
    assert scope.features is not None
    assert scope.features.tolist() == left


def test_without_filters_of_features_none_are_listed(small: Context) -> None:
    with small.db.session() as session:
        session.add(a_dictionary("other", "late", hookpoint="transformer.transformer_blocks.2"))
    scope = find_scope(small, SearchFilters())
    assert (scope.dictionary_ids, scope.features, scope.labelers) == ([1, 2], None, None)
    assert find_scope(small, SearchFilters(dictionary="other")).dictionary_ids == [2]
    assert find_scope(small, SearchFilters(layer="mid")).dictionary_ids == [1]
    assert find_scope(small, SearchFilters(layer="mid", dictionary=NAME)).dictionary_ids == [1]


def test_names_that_do_not_exist(small: Context) -> None:
    with pytest.raises(UsageError, match="there is no dictionary"):
        find_scope(small, SearchFilters(dictionary="shapes-turbo.mid.tpk"))
    with pytest.raises(UsageError, match="is of layer mid, not late"):
        find_scope(small, SearchFilters(dictionary=NAME, layer="late"))
    with pytest.raises(UsageError, match="no labels here are of a labeler"):
        find_scope(small, SearchFilters(labeler="human"))
    with pytest.raises(AutointerpError, match="no labeled dictionary of layer early"):
        find_scope(small, SearchFilters(layer="early"))
    with pytest.raises(UsageError, match="known: live, dead, dense"):
        SearchFilters(state="alive")


def test_an_empty_workspace(tmp_path: Any) -> None:
    ctx = Context(WorkspaceFolder.create(tmp_path / "w", Settings()))
    with pytest.raises(AutointerpError, match="there is no labeled dictionary here"):
        find_scope(ctx, SearchFilters())

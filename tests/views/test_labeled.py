"""Features come with the label that counts, or with none where a filter leaves it out."""

from __future__ import annotations

import pytest

from autointerp.db.models import Label
from autointerp.db.queries.scores import ScoreFloor
from autointerp.errors import AutointerpError
from autointerp.project.context import Context
from autointerp.project.targets import Target, find_dictionary
from autointerp.views.labeled import best_features, export_rows, labeled_features

from .conftest import NAME, a_dictionary


def names(small: Context, **filters: object) -> list[str]:
    row = small.dictionary_named(NAME)
    with small.db.session() as session:
        return [one.name for one in labeled_features(session, row, **filters)]  # type: ignore[arg-type]


def test_the_label_that_counts_stays_unless_a_filter_leaves_it_out(small: Context) -> None:
    assert names(small) == ["red circle", "", "blue square", ""]
    assert names(small, min_score=ScoreFloor(0.8)) == ["red circle", "", "", ""]
    assert names(small, labelers=[2]) == ["red dot", "", "", ""]


def test_a_row_for_each_feature(small: Context) -> None:
    row = find_dictionary(small, Target("mid", NAME))
    first, second, *_ = export_rows(small, row)
    assert (first.index, first.status, first.labeler, first.confidence) == (0, "ok", "clip", 0.9)
    assert [(score.method, score.value) for score in first.scores] == [("embedding", 0.9)]
    assert (second.status, second.state, second.scores, second.confidence) == ("unlabeled", "dead", (), None)


def test_a_dictionary_without_features_has_no_rows(small: Context) -> None:
    with small.db.session() as session:
        session.add(a_dictionary("empty", "late"))
    with pytest.raises(AutointerpError, match="empty has no features yet"):
        export_rows(small, small.dictionary_named("empty"))


def test_the_best_come_first_and_each_name_once(small: Context) -> None:
    row = small.dictionary_named(NAME)
    best = best_features(small, row, 5)
    assert [(one.name, one.score) for one in best] == [("red circle", 0.9), ("blue square", 0.6)]
    assert [one.name for one in best_features(small, row, 1)] == ["red circle"]
    with small.db.session() as session:
        for label in session.query(Label).where(Label.feature_id == 3):
            label.name = "red circle"
    assert [one.feature.id for one in best_features(small, row, 5)] == [1]

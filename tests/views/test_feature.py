"""Everything that is known of a feature is read, of the label that counts or of a chosen labeler."""

from __future__ import annotations

import pytest

from autointerp.errors import UsageError
from autointerp.project.context import Context
from autointerp.views.feature import histogram_levels, read_feature

from .conftest import NAME


def test_labels_scores_neighbours_and_crops(small: Context) -> None:
    view = read_feature(small, f"{NAME}:0")
    assert view.label is not None
    assert (view.label.name, view.label.labeler) == ("red circle", "clip")
    assert [score.value for score in view.scores] == [0.9]
    assert [(a.label.name, a.label.labeler, a.counts) for a in view.answers] == [
        ("red circle", "clip@c", True),
        ("red dot", "vlm@v", False),
    ]
    assert [(one.feature, one.name, one.jaccard) for one in view.neighbours] == [(f"{NAME}:2", "blue square", 0.4)]
    assert view.steps == {0: 0.2, 1: 0.8}
    assert [(c.role, c.split, c.activation, c.cell) for c in view.crops] == [
        ("top", "explain", 4.0, (1, 2)),
        ("top", "score", 3.0, (1, 2)),
        ("negative", "explain", 0.0, None),
    ]
    assert view.atom is None


def test_a_chosen_labeler_is_the_one_that_is_shown(small: Context) -> None:
    view = read_feature(small, f"{NAME}:0", "vlm")
    assert view.label is not None
    assert (view.label.name, [score.value for score in view.scores]) == ("red dot", [0.7])
    with pytest.raises(UsageError, match="no labels here are of a labeler 'human'"):
        read_feature(small, f"{NAME}:0", "human")


def test_a_feature_without_label_and_crops(small: Context) -> None:
    view = read_feature(small, f"{NAME}:1")
    assert (view.label, view.scores, view.answers, view.crops, view.histogram) == (None, (), (), (), ())
    with pytest.raises(UsageError, match="features go from 0 to 3"):
        read_feature(small, f"{NAME}:4")


def test_levels_double_with_every_second_one(small: Context) -> None:
    from autointerp.project.targets import find_feature

    _, feature = find_feature(small, f"{NAME}:0")
    feature.histogram = {"first": 32, "counts": [3, 0, 1]}
    levels = histogram_levels(feature)
    assert [level.cells for level in levels] == [3, 0, 1]
    assert levels[2].edge == pytest.approx(2 * levels[0].edge)

"""Queries of a few columns of everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autointerp.crops.maps import decode_map
from autointerp.db import queries
from autointerp.db.models import Label
from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder


@pytest.fixture
def ctx(workspace: Path) -> Context:
    return Context(WorkspaceFolder(workspace))


def test_the_stamp_changes_with_labels_alone(ctx: Context) -> None:
    with ctx.db.session() as session:
        first = queries.catalog.stamp(session)
        assert queries.catalog.stamp(session) == first
        assert first.features == 64
        label = session.get(Label, first.last_label)
        assert label is not None
        session.delete(label)
        session.flush()
        after = queries.catalog.stamp(session)
    assert (after.labels, after.features) == (first.labels - 1, first.features)


def test_crops_are_those_that_the_feature_shows(ctx: Context) -> None:
    with ctx.db.session() as session:
        ids = [line.id for line in queries.catalog.feature_lines(session) if line.state == "live"]
        strongest = queries.catalog.strongest_crops(session, ids, 3)
        feature = next(iter(strongest))
        lines = queries.catalog.crop_lines(session, feature)
        whole = queries.crops.of_feature(session, feature)
        assert [one.crop.id for one in lines] == [crop.id for crop, _ in whole]
        firing = [one.crop.activation for one in lines if one.crop.role == "top"]
        assert [crop.activation for crop in strongest[feature]] == sorted(firing, reverse=True)[:3]
        one = strongest[feature][0]
        assert queries.catalog.crops_by_id(session, [one.id]) == {one.id: one}
        packed = queries.catalog.activation_map(session, one.id)
        assert packed is not None
        assert decode_map(packed).max() == pytest.approx(one.activation, rel=1e-3)
        assert queries.catalog.picture(session, one.image_id) is not None
        assert queries.catalog.picture(session, 10**9) is None
        assert queries.catalog.activation_map(session, 10**9) is None


def test_scores_that_can_stand_for_labels_have_their_trials(ctx: Context, query: Any, workspace: Path) -> None:
    with ctx.db.session() as session:
        lines = list(queries.catalog.score_lines(session))
        ((count,),) = query(workspace, "SELECT count(*) FROM scores WHERE value IS NOT NULL AND NOT shuffled")
        assert len(lines) == count > 0
        ((score_id,),) = query(workspace, "SELECT min(score_id) FROM judgements")
        trials = queries.catalog.trials(session, score_id)
        assert [one.trial for one in trials] == list(range(len(trials)))
        assert queries.catalog.score(session, score_id).label_id in {line.label_id for line in lines}
        cells = queries.catalog.cell_pictures(session, 1, ["no such prompt"])
    assert cells == {}

"""Scores are stored with their trials, in place of those that got no readable answer."""

from __future__ import annotations

from sqlalchemy import select

from autointerp.db import models, queries
from autointerp.db.queries.labelers import LabelerKey
from autointerp.db.queries.scores import ScoreFloor, StoredTrial, headline, headline_method, headline_rank

from ..conftest import label, scored

TRIAL = StoredTrial(crop_id=1, kind="firing", panel=None, shown={}, truth=True, holds=True, value=None, error="")


def values(session):
    return list(session.scalars(select(models.Score.value).order_by(models.Score.id)))


def test_a_score_takes_the_place_of_one_without_a_readable_answer(filled):
    with filled.session() as session:
        row = label(session, 1, queries.labelers.ensure(session, LabelerKey("clip")))
        scored(session, row, "detection", None, unscored=2)
        # Neither a value, nor a lack of trials, nor the control is an unreadable answer of this score.
        scored(session, row, "detection", None)
        scored(session, row, "detection", 0.5)
        scored(session, row, "detection", None, unscored=2, shuffled=True)
        new = models.Score(label_id=row.id, method="detection", value=0.7)
        queries.scores.store(session, new, [TRIAL, TRIAL])
        assert values(session) == [None, 0.5, None, 0.7]
        assert queries.scores.trial_counts(session, [new.id]) == {new.id: 2}
        trials = session.scalars(select(models.Judgement).order_by(models.Judgement.trial))
        assert [(t.trial, t.kind, t.holds) for t in trials] == [(0, "firing", True), (1, "firing", True)]


def test_controls_are_no_scores_of_a_label(filled, monkeypatch):
    with filled.session() as session:
        row = label(session, 1, queries.labelers.ensure(session, LabelerKey("clip")))
        coin = queries.labelers.ensure(session, LabelerKey("control", "coin"))
        scored(session, row, "embedding", 0.1)
        scored(session, row, "embedding", 0.8)
        scored(session, row, "embedding", 0.2, shuffled=True)
        scored(session, row, "detection", 1.0, coin)
        assert [score.value for score in queries.scores.of_labels(session, [row.id])[row.id]] == [0.8]
        assert queries.scores.headline_values(session, [row.id]) == {row.id: {("embedding", 0): 0.8}}
        # Of many labels all scores are read at once.
        monkeypatch.setattr(queries.scores, "_MANY", 0)
        assert queries.scores.headline_values(session, [row.id]) == {row.id: {("embedding", 0): 0.8}}
        assert queries.scores.headline_values(session, [row.id + 1]) == {}


def test_methods_are_those_of_which_a_label_has_a_value(filled):
    with filled.session() as session:
        row = label(session, 1, queries.labelers.ensure(session, LabelerKey("clip")))
        scored(session, row, "detection", None)
        scored(session, row, "embedding", 0.5, shuffled=True)
        assert queries.scores.methods(session) == set()
        scored(session, row, "gain", -0.2)
        assert queries.scores.methods(session) == {"gain"}


def test_detection_is_shown_before_embedding(filled):
    with filled.session() as session:
        row = label(session, 1, queries.labelers.ensure(session, LabelerKey("clip")))
        scored(session, row, "detection", 0.61239)
        scored(session, row, "embedding", 0.9)
        found = queries.scores.of_labels(session, [row.id])[row.id]
        assert queries.scores.headline(found) == 0.6124
        assert queries.scores.headline(found[1:]) == 0.9
        assert queries.scores.headline([]) is None


def test_a_floor_is_held_against_the_score_that_it_names() -> None:
    def scores(**values: float | None) -> list[models.Score]:
        return [models.Score(method=method, value=value) for method, value in values.items()]

    judged = scores(embedding=0.9, detection=0.6, gain=-0.1)
    assert [headline(judged), headline_method(judged), headline_rank(judged)] == [-0.1, "gain", 0]
    assert ScoreFloor(0.6).reached_by(judged)
    assert not ScoreFloor(0.7).reached_by(judged)
    assert ScoreFloor(0.7).reached_by(scores(embedding=0.7, gain=-1.0))
    assert ScoreFloor(0.9, "embedding").reached_by(judged)
    assert ScoreFloor(-0.2, "gain").reached_by(judged)
    assert not ScoreFloor(0.0, "gain").reached_by(judged)
    # Where the score is missing, no floor is reached by its method; without a method it counts as 0.
    nothing = scores(gain=None)
    assert ScoreFloor(0.0).reached_by(nothing)
    assert not ScoreFloor(-1.0, "gain").reached_by(nothing)
    assert [headline_method(nothing), headline_rank(nothing)] == ["", 3]
    assert [str(ScoreFloor(0.5)), str(ScoreFloor(0.25, "gain"))] == ["0.5", "gain=0.25"]

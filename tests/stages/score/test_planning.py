"""What is missing of a method's scores: each label once, and a control whose words are another label's."""

from __future__ import annotations

import pytest

from autointerp.errors import UsageError
from autointerp.labeling.judging import score_method
from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.stages.score import planning
from autointerp.stages.score.planning import check_methods, plan_scoring


@pytest.fixture
def ctx(labeled):
    return Context(WorkspaceFolder(labeled))


def plan(ctx, method, **more):
    return plan_scoring(ctx, ctx.dictionary_named("shapes-turbo.mid.topk"), score_method(method), **more)


def test_methods_are_named_once_and_must_exist():
    assert check_methods(("fuzzing", "detection", "fuzzing")) == ("fuzzing", "detection")
    with pytest.raises(UsageError, match="no score 'detektion'"):
        check_methods(("detektion",))


def test_what_is_scored_is_not_planned(ctx):
    # The fixture's command has made the embedding scores and their control.
    assert plan(ctx, "embedding").tasks == []


def test_the_control_takes_words_of_another_label(ctx, monkeypatch):
    scoring = plan(ctx, "detection")
    assert scoring.own
    assert 0 < len(scoring.shuffled) <= min(len(scoring.own), planning.CONTROLS)
    assert all(task.shuffled and task.label.name != task.words.name for task in scoring.shuffled)
    assert {task.label.id for task in scoring.shuffled} <= {label.id for label in scoring.own}
    assert [task.shuffled for task in scoring.tasks] == [False] * len(scoring.own) + [True] * len(scoring.shuffled)
    # The same seed draws the same pairs, and a smaller control is the beginning of a larger one.
    pairs = [(task.label.id, task.words.id) for task in scoring.shuffled]
    monkeypatch.setattr(planning, "CONTROLS", 3)
    assert [(task.label.id, task.words.id) for task in plan(ctx, "detection").shuffled] == pairs[:3]


def test_no_control_where_words_are_not_read_or_none_is_wanted(ctx):
    assert plan(ctx, "intruder").shuffled == ()
    assert plan(ctx, "detection", controls=False).shuffled == ()

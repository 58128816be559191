"""Estimates of a plan: calls, pictures and tokens grow with the labels, and a batch costs half."""

from __future__ import annotations

import pytest

from autointerp.labeling.asking.prices import PRICES
from autointerp.labeling.judging import score_method
from autointerp.labeling.judging.generative import OWN_IMAGES, UNRELATED_IMAGES
from autointerp.project.context import Context
from autointerp.project.labelers import LabelerRequest
from autointerp.project.workspace import WorkspaceFolder
from autointerp.stages.pipeline.estimates import ScoreCount, StepEstimates

MODEL = "gpt-4o-mini"


@pytest.fixture
def ctx(tmp_path):
    return Context(WorkspaceFolder.create(tmp_path / "w"))


def estimates(ctx, **request):
    return StepEstimates(ctx, LabelerRequest(**request))


def test_labels_of_other_labelers_cost_nothing(ctx):
    step = estimates(ctx).label_step("clip", "d", 5)
    assert (step.needed, step.detail, step.calls, step.cost) == (True, "5 features by clip", 0, 0.0)
    assert not estimates(ctx).label_step("clip", "d", 0).needed


def test_a_remote_labeler_is_asked_for_each_candidate_and_cluster(ctx):
    one = estimates(ctx, model=MODEL).label_step("vlm", "d", 5)
    several = estimates(ctx, model=MODEL, candidates=2, clusters=3).label_step("vlm", "d", 5)
    assert one.calls == 5
    assert one.cost > 0
    assert (several.calls, several.pictures, several.tokens) == (6 * one.calls, 6 * one.pictures, 6 * one.tokens)


def test_a_batch_costs_half(ctx):
    one_by_one = estimates(ctx, model=MODEL).label_step("vlm", "d", 5)
    batch = estimates(ctx, model=MODEL, batch=True).label_step("vlm", "d", 5)
    assert batch.detail == f"{one_by_one.detail}, in batches"
    assert batch.tokens == one_by_one.tokens
    assert batch.cost == pytest.approx(one_by_one.cost / 2)


def test_without_a_name_or_a_price_the_cost_is_unknown(ctx):
    unnamed = estimates(ctx).label_step("vlm", "d", 5)
    assert unnamed.detail == "5 features by a model that is not named yet"
    assert unnamed.cost is None
    assert not (ctx.workspace.path / PRICES).exists()
    assert estimates(ctx, model="nobody/knows").label_step("vlm", "d", 5).cost is None


def test_scores_by_a_remote_judge_are_calls_and_pictures(ctx):
    method = score_method("detection")
    step = estimates(ctx).score_step(method, "d", ScoreCount(3, 2), MODEL)
    assert step.detail == "detection score of 3 labels and 2 shuffled"
    assert step.pictures == 5 * method.question.trials
    assert step.calls >= 5
    local = estimates(ctx).score_step(method, "d", ScoreCount(3, 2))
    assert (local.calls, local.pictures, local.cost) == (0, 0, 0.0)


def test_a_score_that_stops_early_is_bounded(ctx):
    """Names share the cells of their base rate, and no more is asked than is said."""
    method = score_method("gain")
    one, several = (estimates(ctx).score_step(method, "d", ScoreCount(4, names=names), MODEL) for names in (1, 4))
    questions, shared = method.question.trials, method.question.shared
    assert one.pictures == 4 * questions + shared
    assert several.pictures == 4 * (questions + shared)
    assert f"at most {questions} questions each and {shared} a name, at most {several.calls} calls" in several.text
    local = estimates(ctx).score_step(method, "d", ScoreCount(4, names=4))
    assert (local.detail, local.calls) == (several.detail, 0)
    assert estimates(ctx).score_step(method, "d", ScoreCount(0), MODEL).text == "score    d: gain score up to date"


def test_scores_by_the_model_are_images(ctx):
    step = estimates(ctx).score_step(score_method("generative"), "d", ScoreCount(3, 2))
    # Shuffled labels are judged by pictures of other labels, which are there.
    assert step.images == 3 * OWN_IMAGES + UNRELATED_IMAGES
    nothing = estimates(ctx).score_step(score_method("generative"), "d", ScoreCount(0))
    assert (nothing.needed, nothing.images) == (False, 0)


def test_words_run_pictures_once_more(ctx):
    """No more than the run has, and no more than are looked at."""
    few, many = (estimates(ctx).label_step("words", "d", count) for count in (3, 5000))
    assert (few.images, few.units, few.cost) == (60, 3, 0.0)
    assert many.images == ctx.settings.images
    assert "at most 60" in few.text

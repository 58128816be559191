"""What an evaluation depends on, and where the truth is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.project.context import Context, identity
from autointerp.project.workspace import WorkspaceFolder
from autointerp.stages.evaluate.planning import feature_states, has_truth, plan_evaluation


@pytest.mark.parametrize(("size", "known"), [(96, True), (64, False)])
def test_the_truth_is_known_for_images_in_the_models_own_size(labeled: Path, size: int, known: bool) -> None:
    ctx = Context(WorkspaceFolder(labeled), size=size)
    assert has_truth(ctx, ctx.layer("mid")) == known


def test_a_plan_is_the_hash_of_its_config(labeled: Path) -> None:
    ctx = Context(WorkspaceFolder(labeled))
    row = ctx.dictionary_named("shapes-turbo.mid.topk")
    plan = plan_evaluation(ctx, row)
    assert plan.identity == identity({"evaluate": plan.config})
    assert (plan.images, plan.with_truth, plan.known) == (12, True, None)
    assert plan.step.text == "evaluate shapes-turbo.mid.topk: against the truth, 12 images"
    assert len(feature_states(ctx, row)) == row.num_latents
    other = plan_evaluation(Context(WorkspaceFolder(labeled), evaluate_images=13), row)
    assert other.identity != plan.identity

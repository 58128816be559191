"""Which harvest the settings mean, and which dictionary it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from autointerp.project.context import Context
from autointerp.project.targets import Target
from autointerp.project.workspace import WorkspaceFolder
from autointerp.stages.fit.planning import resolve_dictionary
from autointerp.stages.harvest.planning import HarvestPlan, plan_harvest, with_own_dictionary

Cli = Callable[..., Any]


def planned(workspace: Path, **settings: Any) -> tuple[Context, HarvestPlan]:
    ctx = Context(WorkspaceFolder(workspace), **settings)
    return ctx, plan_harvest(ctx, resolve_dictionary(ctx, Target("mid", "shapes-turbo.mid.topk")))


def test_a_harvest_of_these_settings_is_found(labeled: Path, query: Callable[..., list[Any]]) -> None:
    _, plan = planned(labeled)
    assert plan.done
    assert plan.images == 40
    assert [(plan.identity,)] == query(labeled, "SELECT identity FROM runs WHERE kind = 'harvest'")


def test_another_harvest_gets_a_copy_of_the_dictionary(workspace: Path) -> None:
    ctx, plan = planned(workspace, images=24)
    assert (plan.done, plan.target) == (False, "shapes-turbo.mid.topk-2")
    assert plan.step.text.startswith("harvest  shapes-turbo.mid.topk-2: top 6 and 4 more crops a feature, 24 images")
    own = with_own_dictionary(ctx, plan)
    assert own.fit.name == "shapes-turbo.mid.topk-2"
    assert own.identity == plan.identity
    # The harvest that is done stays with the dictionary that has its crops.
    assert with_own_dictionary(*planned(workspace)).fit.name == "shapes-turbo.mid.topk"


def test_a_grid_that_no_map_can_hold_is_refused_before_anything_is_generated(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "autointerp.toml").write_text("size = 4096\n")
    done = cli("-w", tmp_path, "harvest", "--layer", "mid", "--dry-run")
    assert done.code == 2
    assert "has 512x512 cells in pictures of 4096 px, more than 65,536" in done.err

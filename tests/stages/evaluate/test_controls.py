"""Controls of directions: measured once, as they were planned, gone on with, and only where the truth is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autointerp.project.context import Context, identity
from autointerp.project.workspace import WorkspaceFolder
from autointerp.stages.evaluate.controls import (
    CHEAP,
    CONTROLS,
    checkpoint_of,
    control_names,
    distinct,
    forget_checkpoint,
    plan_controls,
)


def test_controls_follow_from_the_layer_and_not_from_the_weights(labeled: Path) -> None:
    ctx = Context(WorkspaceFolder(labeled))
    row = ctx.dictionary_named("shapes-turbo.mid.topk")
    plans = plan_controls(ctx, row, CONTROLS)
    assert [plan.name for plan in plans] == list(CONTROLS)
    assert all(plan.identity == identity({"evaluate": plan.config}) for plan in plans)
    assert len({plan.identity for plan in plans}) == len(CONTROLS)
    assert row.weights_sha256 not in json.dumps([plan.config for plan in plans])
    assert distinct([*plans, *plans]) == plans
    other = plan_controls(Context(WorkspaceFolder(labeled), evaluate_images=13), row, CHEAP)
    assert not {plan.identity for plan in other} & {plan.identity for plan in plans}
    assert control_names("cheap") == CHEAP
    assert plans[0].step.text == "evaluate control of mid, random: random unit directions of the layer, 25 images"


def test_no_truth_no_controls(labeled: Path) -> None:
    ctx = Context(WorkspaceFolder(labeled), size=64)
    assert plan_controls(ctx, ctx.dictionary_named("shapes-turbo.mid.topk"), CONTROLS) == []


@pytest.mark.slow
def test_all_controls_are_measured_once_and_gone_on_with(
    workspace: Path, cli: Callable[..., Any], query: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = ("-w", workspace, "evaluate", "--layer", "mid", "--controls", "all", "--concepts", "fine")
    plan = cli(*every, "--dry-run").out.splitlines()
    assert len(plan) == 1 + len(CONTROLS) + 1
    assert any("weights drawn anew, 25 images" in line for line in plan)

    # Stopped once its directions are fitted: the fits are kept, and nothing of the run is taken for done.
    from autointerp.stages.evaluate import evaluating

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(evaluating, "observe_held_out", stop)
        assert cli(*every).code == 130
    kept = sorted((workspace / "controls").iterdir())
    assert len(kept) == 2
    rows = "SELECT status, result FROM runs WHERE kind = 'evaluate'"
    assert {status for status, _ in query(workspace, rows)} == {"interrupted"}
    done = cli(*every, "--json")
    assert done.code == 0, done.err
    assert "controls: reading" in done.err
    assert not (workspace / "controls").exists()
    found = json.loads(done.out)
    for name in CONTROLS:
        figures = found["controls"][name]
        assert 0 <= figures["specific"] <= figures["grounded"] <= 1
        assert figures["features"] == 64
    assert found["fine"]["moved"]["places"] <= found["fine"]["moved"]["grounded"]
    assert {status for status, _ in query(workspace, rows)} == {"done"}
    assert len(query(workspace, rows)) == 1 + len(CONTROLS) + 1

    again = cli(*every, "--json")
    assert json.loads(again.out) == found
    assert "evaluate" not in again.err
    # The cheap ones are among them, and so need nothing; another dictionary of the layer shares them.
    assert cli("-w", workspace, "evaluate", "--layer", "mid", "--dry-run").out.strip().endswith("up to date")
    assert cli("-w", workspace, "db", "check").code == 0


def test_a_checkpoint_is_forgotten_with_its_empty_folder(workspace: Path) -> None:
    ctx = Context(WorkspaceFolder(workspace))
    one, other = plan_controls(ctx, ctx.dictionary_named("shapes-turbo.mid.topk"), CHEAP)
    for plan in (one, other):
        checkpoint_of(ctx, plan).parent.mkdir(exist_ok=True)
        checkpoint_of(ctx, plan).write_bytes(b"x")
    forget_checkpoint(ctx, one)
    assert checkpoint_of(ctx, other).exists()
    forget_checkpoint(ctx, other)
    forget_checkpoint(ctx, other)
    assert not (workspace / "controls").exists()

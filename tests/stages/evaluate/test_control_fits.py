"""The directions of controls: what each reads, and that a stop changes none of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.stages.evaluate import control_fits
from autointerp.stages.evaluate.control_fits import control_observers
from autointerp.stages.evaluate.controls import CONTROLS, checkpoint_of, plan_controls


def made(folder: Path, names: list[str]) -> dict[str, torch.Tensor]:
    ctx = Context(WorkspaceFolder(folder))
    plans = plan_controls(ctx, ctx.dictionary_named("shapes-turbo.mid.topk"), names)
    with control_observers(ctx, plans) as observers:
        return {plan.name: observers[plan.identity].dictionary.directions for plan in plans}


@pytest.mark.slow
def test_each_control_is_the_same_alone_and_beside_others(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Small rounds, so that there are several.
    monkeypatch.setattr(control_fits, "FEW_IMAGES", 4)
    together = made(workspace, list(CONTROLS))
    assert {name: tuple(found.shape) for name, found in together.items()} == {
        **dict.fromkeys(("random", "activations", "kmeans", "pca", "rerandomised"), (64, 192)),
        "raw": (64, 24),
    }
    for path in (workspace / "controls").iterdir():
        path.unlink()
    for name in ("kmeans", "raw"):
        assert torch.equal(made(workspace, [name])[name], together[name]), name


@pytest.mark.slow
def test_a_fit_that_was_stopped_goes_on(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_fits, "FEW_IMAGES", 4)
    whole = made(workspace, ["rerandomised"])["rerandomised"]
    ctx = Context(WorkspaceFolder(workspace))
    (plan,) = plan_controls(ctx, ctx.dictionary_named("shapes-turbo.mid.topk"), ["rerandomised"])
    # A finished fit that waits for its figures is not made again.
    with monkeypatch.context() as patch:
        patch.setattr(control_fits, "_read_round", None)
        assert torch.equal(made(workspace, ["rerandomised"])["rerandomised"], whole)
    checkpoint_of(ctx, plan).unlink()
    own, rounds = control_fits._read_round, 0

    def stopping(*arguments: object) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            raise KeyboardInterrupt
        own(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(control_fits, "_read_round", stopping)
        with pytest.raises(KeyboardInterrupt):
            made(workspace, ["rerandomised"])
    state = torch.load(checkpoint_of(ctx, plan), weights_only=True)
    assert 0 < state["seen"] < plan.fit_images
    assert torch.equal(made(workspace, ["rerandomised"])["rerandomised"], whole)
    checkpoint_of(ctx, plan).write_bytes(b"damaged")
    assert torch.equal(made(workspace, ["rerandomised"])["rerandomised"], whole)

"""What a dictionary is called, and which one a command means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import UsageError
from autointerp.project.context import Context
from autointerp.project.settings import Settings
from autointerp.project.targets import Target
from autointerp.project.workspace import WorkspaceFolder
from autointerp.stages.fit.planning import (
    FitRequest,
    branch_dictionary,
    dictionary_name,
    model_word,
    plan_fit,
    resolve_dictionary,
)
from autointerp.stages.fit.training import run_fits


@pytest.mark.parametrize(
    ("model", "word"),
    [("owner/FLUX.1-x", "FLUX-1-x"), ("/a/photo.safetensors", "photo"), ("/a/v1.5.ckpt", "v1-5"), ("/", "model")],
)
def test_the_word_of_a_model_in_names(model: str, word: str) -> None:
    assert model_word(model) == word


def test_a_name_tells_the_stream_where_it_is_not_the_image() -> None:
    assert dictionary_name("shapes-turbo", "mid", "image", "topk") == "shapes-turbo.mid.topk"
    assert dictionary_name("shapes-turbo", "mid", "text", "topk") == "shapes-turbo.mid-text.topk"


def test_a_layer_means_its_dictionary_until_the_settings_change(labeled: Path) -> None:
    ctx = Context(WorkspaceFolder(labeled))
    there = resolve_dictionary(ctx, Target("mid"))
    assert there.row is not None
    assert there.name == "shapes-turbo.mid.topk"
    assert plan_fit(ctx, "mid").row is not None
    other = resolve_dictionary(Context(WorkspaceFolder(labeled), seed=5), Target("mid"))
    assert (other.row, other.name) == (None, "shapes-turbo.mid.topk-2")
    # A dictionary that is named stays the one that is meant.
    named = resolve_dictionary(Context(WorkspaceFolder(labeled), seed=5), Target("mid", "shapes-turbo.mid.topk"))
    assert named.row is not None
    with pytest.raises(UsageError, match="belongs to layer mid"):
        resolve_dictionary(ctx, Target("late", "shapes-turbo.mid.topk"))
    with pytest.raises(UsageError, match="already"):
        plan_fit(ctx, "mid", FitRequest(k=3, name="shapes-turbo.mid.topk"))
    with pytest.raises(UsageError, match="there are only 64 latents"):
        plan_fit(ctx, "mid", FitRequest(k=65))


def test_a_branch_is_a_copy_that_is_made_once(workspace: Path) -> None:
    ctx = Context(WorkspaceFolder(workspace))
    plan = resolve_dictionary(ctx, Target("mid"))
    branched = branch_dictionary(ctx, plan, "another harvest")
    again = branch_dictionary(ctx, plan, "another harvest")
    assert branched.row is not None
    assert plan.row is not None
    assert branched.name == again.name == "shapes-turbo.mid.topk-2"
    assert branched.row.weights_sha256 == plan.row.weights_sha256
    assert branched.row.id != plan.row.id
    weights = [ctx.workspace.dictionary_dir(name) / "weights.safetensors" for name in (plan.name, branched.name)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def made(folder: Path, **settings: Any) -> WorkspaceFolder:
    return WorkspaceFolder.create(folder, Settings.from_values({"steps": 2, "capture_steps": [1], **settings}))


def test_a_fit_takes_no_more_images_than_are_asked_for(tmp_path: Path) -> None:
    small = made(tmp_path / "small", images=32)
    plan = resolve_dictionary(Context(small), Target("mid"))
    assert plan.config["images"] == 32
    assert "on the images that are harvested, not the usual 800" in plan.step.text
    # It is told: by an option, or by a setting.
    assert plan_fit(Context(small), "mid", FitRequest(images=90)).config["images"] == 90
    told = made(tmp_path / "told", images=32, fit_images=100)
    assert resolve_dictionary(Context(told), Target("mid")).config["images"] == 100
    usual = made(tmp_path / "usual")
    plan = resolve_dictionary(Context(usual), Target("mid"))
    assert plan.config["images"] == 800
    assert plan.notes == ()
    # One command asks for fewer.
    fewer = resolve_dictionary(Context(usual, images=40), Target("mid"))
    assert fewer.config["images"] == 40
    assert fewer.overrides == {"images": 40}
    with pytest.raises(UsageError, match="1 image is too few to fit on"):
        resolve_dictionary(Context(small, images=1), Target("mid"))


def test_a_fit_that_is_there_does_not_follow_a_later_command(tmp_path: Path) -> None:
    workspace = made(tmp_path / "w", images=5, dictionary={"kind": "random", "latents": 16, "k": 2})
    (row,) = run_fits(Context(workspace), [resolve_dictionary(Context(workspace, images=3), Target("mid"))])
    assert row.images == 3
    for images in (3, 5, 9):
        plan = resolve_dictionary(Context(workspace, images=images), Target("mid"))
        assert plan.row is not None
        assert plan.name == row.name


def test_few_activations_are_said(tmp_path: Path) -> None:
    workspace = made(tmp_path / "w", images=32)
    ctx = Context(workspace)
    enough = plan_fit(ctx, "mid", FitRequest(latents=460))
    few = plan_fit(ctx, "mid", FitRequest(latents=461))
    assert "few activations" not in enough.step.text
    assert "few activations (4608) for so many latents" in few.step.text
    # Nothing is learned of a baseline's activations.
    assert "few activations" not in plan_fit(ctx, "mid", FitRequest("random", latents=461)).step.text

"""The other model of a comparison: what of the workspace's settings it keeps, its steps, and its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autointerp import Workspace
from autointerp.diffusion.loading_options import LoadingSettings
from autointerp.errors import AutointerpError, UsageError
from autointerp.experiments.model_sides import ModelSide, same_share, sides_of
from autointerp.experiments.subjects import OtherRun, stored_dictionary
from autointerp.project.context import Context
from autointerp.project.settings import Settings
from autointerp.project.workspace import WorkspaceFolder
from tests.diffusion import tiny

NOTHING = {"model": None, "revision": None, "loading": (), "steps": None}


def sides(workspace: Path, **options: Any) -> tuple[ModelSide, ModelSide]:
    ctx = Context(Workspace(workspace), dtype="float32")
    return sides_of(ctx, stored_dictionary(ctx, "mid", None), {**NOTHING, **options})


def test_another_model_keeps_what_is_not_of_its_weights(labeled: Path) -> None:
    home, other = sides(labeled, model="shapes")
    assert (home.name, other.name) == ("shapes-turbo", "shapes")
    assert other.ctx.settings.dtype == "float32"
    assert (home.told, other.told) == ({1: 1}, {1: 1})
    assert not other.shares_model
    assert other.configuration()["model"] == "shapes"


def test_steps_lie_at_the_same_share_of_the_run(labeled: Path) -> None:
    home, other = sides(labeled, steps=8)
    assert (home.name, other.name) == ("shapes-turbo 2 steps", "shapes-turbo 8 steps")
    assert other.told == {7: 1}
    assert other.shares_model
    assert [same_share(step, 3, 3) for step in range(3)] == [0, 1, 2]
    assert same_share(0, 12, 1) == 0


def test_weights_of_the_workspace_are_not_those_of_the_other(tmp_path: Path) -> None:
    loading = LoadingSettings(lora=["a.safetensors:0.5"], variant="fp16", quantize="int8", offload="model")
    workspace = WorkspaceFolder.create(tmp_path / "w", Settings(model="owner/name", revision="v1", loading=loading))
    ctx = Context(workspace)
    same, plain = OtherRun(ctx), OtherRun(ctx, {}, model="owner/name")
    both, elsewhere = OtherRun(ctx, {"lora": ["b.safetensors:2"]}, "main"), OtherRun(ctx, model="owner/other")
    assert [one.shares_model for one in (same, plain, both, elsewhere)] == [True, False, False, False]
    assert plain.settings.loading == elsewhere.settings.loading
    assert (plain.settings.loading.lora, plain.settings.loading.variant) == ([], None)
    assert (plain.settings.loading.quantize, plain.settings.loading.offload) == ("int8", "model")
    assert both.settings.loading.lora == ["b.safetensors:2.0"]
    assert [one.settings.revision for one in (same, plain, both, elsewhere)] == ["v1", "v1", "main", None]
    workspace.close()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"model": "shapes-turbo"}, "nothing differs between them"),
        ({"steps": 2}, "nothing differs between them"),
        ({"loading": ("nope=1",)}, "unknown key 'loading.nope'"),
        ({"loading": ("lora",)}, "sets nothing"),
    ],
)
def test_what_cannot_be_compared_is_a_line(labeled: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        sides(labeled, **options)


def test_a_lora_names_the_other_model_and_must_be_there(labeled: Path) -> None:
    with pytest.raises(AutointerpError, match=r"style\.safetensors"):
        sides(labeled, loading=("lora=style.safetensors:0.5",))


def test_a_model_without_the_layer_is_refused(labeled: Path, tmp_path: Path) -> None:
    folder = tiny.save(tiny.FAMILIES["sd"], tmp_path / "sd")
    with pytest.raises(UsageError):
        sides(labeled, model=str(folder))


def test_another_layer_of_the_same_alias_is_refused(labeled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As wide a layer of another class of model would give figures of nothing."""
    ctx = Context(Workspace(labeled), dtype="float32")
    row = stored_dictionary(ctx, "mid", None)
    read = row.hookpoint
    monkeypatch.setattr(row, "hookpoint", "unet.mid_block.attentions.0")
    with pytest.raises(UsageError, match=rf"reads unet\.mid_block.*, and mid of shapes is {read}: name a model"):
        sides_of(ctx, row, {**NOTHING, "model": "shapes"})

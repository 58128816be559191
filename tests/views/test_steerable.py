"""What can be steered, read without loading a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import UsageError
from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.views import steerable
from autointerp.views.steerable import read_steerable, read_steerable_feature

NAME = "shapes-turbo.mid.topk"


@pytest.fixture(scope="module")
def ctx(labeled: Path) -> Context:
    return Context(WorkspaceFolder(labeled))


def test_steps_seed_size_cells_and_a_prompt_are_those_of_the_workspace(
    ctx: Context, query: Any, labeled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read_steerable(ctx)
    ((prompt,),) = query(labeled, "SELECT prompt FROM images ORDER BY id LIMIT 1")
    model = {"steps": 2, "seed": 0, "size": (96, 96), "grid": (12, 12)}
    assert found.as_dict() == {**model, "prompt": prompt, "layers": ("mid",)}
    assert "model" not in ctx.__dict__
    monkeypatch.setattr(steerable, "MOST_CELLS", 5)
    assert read_steerable(ctx).grid == (5, 5)


def test_a_feature_comes_with_its_name_and_its_unit(ctx: Context, query: Any, labeled: Path) -> None:
    (named, *_) = query(
        labeled,
        "SELECT f.latent_index, l.name, f.mean_activation FROM features f JOIN labels l ON l.feature_id = f.id "
        "WHERE l.status = 'ok'",
    )
    found = read_steerable_feature(ctx, f"{NAME}:{named[0]}")
    assert (found.feature, found.name) == (f"{NAME}:{named[0]}", named[1])
    assert found.unit == pytest.approx(named[2])
    assert (found.layer, found.stream) == ("mid", "image")
    ((unnamed,),) = query(
        labeled,
        "SELECT f.latent_index FROM features f JOIN labels l ON l.feature_id = f.id "
        "WHERE l.status = 'uninterpretable' LIMIT 1",
    )
    assert read_steerable_feature(ctx, f"{NAME}:{unnamed}").name == ""
    for wrong in ("nonsense", f"{NAME}:99999", "no.such.thing:1"):
        with pytest.raises(UsageError):
            read_steerable_feature(ctx, wrong)

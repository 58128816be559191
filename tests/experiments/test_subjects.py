from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp import Workspace
from autointerp.errors import AutointerpError, UsageError
from autointerp.experiments.protocol import Cost
from autointerp.experiments.subjects import (
    Condition,
    added,
    batches_of,
    named_features,
    pictures_of,
    resized,
    stored_dictionary,
)
from autointerp.project.context import Context


def test_conditions_are_written_model_and_steps() -> None:
    assert Condition.parse("shapes:12") == Condition("shapes", 12)
    assert Condition.parse("org/model:1").name == "model, 1 step"
    for text in ("shapes", "shapes:", ":4", "shapes:0", "shapes:x"):
        with pytest.raises(UsageError, match="MODEL:STEPS"):
            Condition.parse(text)


def test_another_condition_keeps_the_machine_and_shares_the_model(labeled: Path) -> None:
    ctx = Context(Workspace(labeled), dtype="float32")
    assert Condition("shapes-turbo", 2).context(ctx) is ctx
    more, other = Condition("shapes-turbo", 4).context(ctx), Condition("shapes", 3).context(ctx)
    assert (more.generation.steps, more.settings.dtype) == (4, "float32")
    assert more.model is ctx.model
    assert other.model.name == "shapes"
    assert other.capture_steps == (0, 1, 2)


def test_named_features_are_those_that_count(labeled: Path, query: Callable[..., list[Any]]) -> None:
    ctx = Context(Workspace(labeled))
    row = stored_dictionary(ctx, "mid", None)
    found = named_features(ctx, row)
    names = query(
        labeled,
        "SELECT f.latent_index, l.name, f.max_activation FROM features f JOIN labels l ON l.feature_id = f.id "
        "WHERE l.status = 'ok' ORDER BY 1",
    )
    assert [(one.latent, one.name) for one in found] == [(latent, name) for latent, name, _ in names]
    assert [one.threshold for one in found] == pytest.approx([peak / 4 for *_, peak in names])


def test_a_dictionary_must_be_of_the_layer(labeled: Path) -> None:
    ctx = Context(Workspace(labeled))
    with pytest.raises(UsageError, match="belongs to layer mid, not late"):
        stored_dictionary(ctx, "late", "shapes-turbo.mid.topk")
    with pytest.raises(AutointerpError, match="has no dictionary here"):
        stored_dictionary(ctx, "late", None)


def test_pictures_are_held_out_and_the_same_however_they_are_cut(labeled: Path) -> None:
    ctx = Context(Workspace(labeled))
    jobs = pictures_of(ctx, 90)
    assert jobs[:50] == pictures_of(ctx, 50)
    seen = {(job.prompt, job.seed) for job in ctx.jobs(0, ctx.settings.images)}
    assert not seen & {(job.prompt, job.seed) for job in jobs}
    units = batches_of("a, ", 90, images=3, way="x")
    assert [unit.key for unit in units] == ["a, pictures 0:40", "a, pictures 40:80", "a, pictures 80:90"]
    assert [unit.images for unit in units] == [120, 120, 30]
    assert units[2].about == {"way": "x", "start": 80, "stop": 90}


def test_costs_add_up_and_an_unknown_one_stays_unknown() -> None:
    assert added([Cost(3, 1, 2.0), Cost(4, 2, 3.0)]) == Cost(7, 3, 5.0)
    assert added([Cost(3, 1, 2.0), Cost(4, 2)]) == Cost(7, 3, None)


def test_masks_on_another_grid() -> None:
    mask = np.zeros((2, 4, 4), bool)
    mask[0, :2, 2:] = True
    assert resized(mask, (4, 4)) is mask
    assert resized(mask, (2, 2)).tolist() == [[[False, True], [False, False]], [[False] * 2] * 2]
    assert resized(mask, (8, 8))[0].sum() == 16

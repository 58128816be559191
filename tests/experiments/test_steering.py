"""What `steer` does to features: the changes, and which pictures get them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autointerp import Workspace
from autointerp.diffusion.generation import generate
from autointerp.diffusion.jobs import ImageJob
from autointerp.errors import UsageError
from autointerp.experiments.regions import EditRegion
from autointerp.experiments.steering import (
    SteerColumn,
    changes_of,
    edit_of,
    like_cells,
    parse_with,
    read_latent,
    steered,
)
from autointerp.project.context import Context
from autointerp.project.targets import find_feature

NAME = "shapes-turbo.mid.topk"
PROMPT = "large red solid circle center, sand background"
OTHER = "small blue striped star top left, night background"
Query = Callable[..., list[Any]]


@pytest.fixture
def strongest(labeled: Path, query: Query) -> int:
    """A feature that fires often."""
    ((index,),) = query(
        labeled, "SELECT latent_index FROM features WHERE state != 'dead' ORDER BY density DESC LIMIT 1"
    )
    return int(index)


def test_strength_0_changes_nothing_and_more_of_it_changes_more(labeled: Path, strongest: int) -> None:
    from autointerp.dictionaries.storage import load_dictionary

    ctx = Context(Workspace(labeled))
    row, feature = find_feature(ctx, f"{NAME}:{strongest}")
    dictionary = load_dictionary(ctx.workspace.dictionary_dir(row.name))
    changes = [change for _, change in changes_of(dictionary, feature, (0.0, 3.0, 30.0), ablate=True)]
    layer = ctx.layer_of(row)
    columns = [SteerColumn("before"), *(SteerColumn("", [edit_of(layer, change, EditRegion())]) for change in changes)]
    made = [np.asarray(p, int) for (p,) in steered(ctx, columns, (PROMPT,), 5)]
    ((_, (plain,)),) = generate(ctx.model, [ImageJob(0, PROMPT, 5)], ctx.generation)
    # All are made in one batch, whose sums may differ in the last digit from those of a picture alone.
    assert np.abs(made[0] - np.asarray(plain, int)).max() <= 3
    assert np.abs(made[0] - made[1]).max() <= 1
    assert 0 < np.abs(made[2] - made[0]).mean() < np.abs(made[3] - made[0]).mean()
    assert not np.array_equal(made[4], made[0])


def test_the_unit_of_strength_is_the_features_mean_activation(labeled: Path, strongest: int) -> None:
    from autointerp.dictionaries.storage import load_dictionary

    ctx = Context(Workspace(labeled))
    row, feature = find_feature(ctx, f"{NAME}:{strongest}")
    dictionary = load_dictionary(ctx.workspace.dictionary_dir(row.name))
    ((caption, change),) = changes_of(dictionary, feature, (2.0,), ablate=False)
    acts = torch.randn(1, 5, dictionary.d_in)
    added = change.function(acts, 1)
    expected = 2 * feature.mean_activation * dictionary.directions[strongest]
    assert caption == "strength +2"
    assert torch.allclose(added, expected.expand_as(added), atol=1e-4)
    code = dictionary.encode(acts[0])
    dense = torch.zeros(5, dictionary.num_latents).scatter_add_(1, code.latent_indices, code.latent_acts)
    for latent in range(dictionary.num_latents):
        assert torch.equal(read_latent(dictionary, latent)(acts[0], 1), dense[:, latent])


def test_a_column_has_its_edits_for_every_prompt_and_no_other_column_has(labeled: Path) -> None:
    ctx = Context(Workspace(labeled), batch_size=3)
    row, _ = find_feature(ctx, f"{NAME}:0")
    layer = ctx.layer_of(row)
    from autointerp.diffusion.edits import add_vector

    push = edit_of(layer, add_vector(torch.linspace(-4, 4, layer.d_in)), EditRegion(box=(0, 0, 12, 6)))
    columns = [SteerColumn("before"), SteerColumn("pushed", [push]), SteerColumn("again")]
    made = [[np.asarray(p, int) for p in pictures] for pictures in steered(ctx, columns, (PROMPT, OTHER), 5)]
    assert [len(pictures) for pictures in made] == [2, 2, 2]
    for prompt in (0, 1):
        assert np.abs(made[0][prompt] - made[2][prompt]).max() <= 3
        assert np.abs(made[0][prompt] - made[1][prompt]).mean() > 2


def test_cells_of_another_picture_take_the_place_of_the_cells(labeled: Path) -> None:
    ctx = Context(Workspace(labeled))
    row, _ = find_feature(ctx, f"{NAME}:0")
    layer = ctx.layer_of(row)
    edits = [like_cells(ctx, layer, region, OTHER, 5) for region in (EditRegion(), EditRegion(box=(0, 0, 6, 6)))]
    columns = [SteerColumn("before"), *(SteerColumn("", [edit]) for edit in edits)]
    before, whole, corner = (np.asarray(p, int) for (p,) in steered(ctx, columns, (PROMPT,), 5))
    ((_, (other,)),) = generate(ctx.model, [ImageJob(0, OTHER, 5)], ctx.generation)
    far, near = (np.abs(one - np.asarray(other, int)).mean() for one in (before, whole))
    # All cells of the middle layer are replaced at every step, so most of the picture is the other one.
    assert near < 0.5 * far
    changed = np.abs(corner - before).mean(2)
    assert changed[:48, :48].mean() > 2 * changed[48:, 48:].mean()


@pytest.mark.parametrize("text", ["5", "a=", "a=b", "a=nan", "a=inf"])
def test_a_further_feature_needs_a_strength(text: str) -> None:
    with pytest.raises(UsageError, match="write FEATURE=STRENGTH"):
        parse_with(text)


def test_a_further_feature_may_have_an_equals_sign_in_its_name() -> None:
    assert parse_with("x=y:3=-2.5") == ("x=y:3", -2.5)

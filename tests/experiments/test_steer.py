"""`steer`: the pictures that it puts side by side, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import update

from autointerp import Workspace
from autointerp.db.models import Feature
from autointerp.diffusion.generation import generate
from autointerp.diffusion.jobs import ImageJob
from autointerp.experiments.steer import SteerRequest, changes_of, read_latent, steered
from autointerp.project.context import Context
from autointerp.project.targets import find_feature

NAME = "shapes-turbo.mid.topk"
PROMPT = "large red solid circle center, sand background"
Cli = Callable[..., Any]
Query = Callable[..., list[Any]]


@pytest.fixture
def strongest(labeled: Path, query: Query) -> int:
    """A feature that fires often."""
    ((index,),) = query(
        labeled, "SELECT latent_index FROM features WHERE state != 'dead' ORDER BY density DESC LIMIT 1"
    )
    return int(index)


def test_one_picture_a_strength_after_the_one_before(workspace: Path, tmp_path: Path, cli: Cli, strongest: int) -> None:
    out = tmp_path / "steered.png"
    given = ("--prompt", PROMPT, "--prompt", "small blue star", "--strength", "6", "--ablate", "--box", "0,0,6,12")
    done = cli("-w", workspace, "-q", "steer", f"{NAME}:{strongest}", *given, "-o", out)
    assert (done.code, done.out, done.err) == (0, f"{out}\n", "")
    with Image.open(out) as sheet:
        assert sheet.format == "PNG"
        # Three pictures beside each other, two rows of them, at 288 px.
        assert 3 * 288 < sheet.width < 4 * 288
        assert 2 * 288 < sheet.height < 3.5 * 288


def test_strength_0_changes_nothing_and_more_of_it_changes_more(labeled: Path, strongest: int) -> None:
    from autointerp.dictionaries.storage import load_dictionary

    ctx = Context(Workspace(labeled))
    row, feature = find_feature(ctx, f"{NAME}:{strongest}")
    dictionary = load_dictionary(ctx.workspace.dictionary_dir(row.name))
    changes = [change for _, change in changes_of(dictionary, feature, (0.0, 3.0, 30.0), ablate=True)]
    request = SteerRequest((PROMPT,), seed=5)
    made = [np.asarray(p, int) for (p,) in steered(ctx, ctx.layer_of(row), [None, *changes], request)]
    ((_, (plain,)),) = generate(ctx.model, [ImageJob(0, PROMPT, 5)], ctx.generation)
    assert np.array_equal(made[0], np.asarray(plain))
    assert np.array_equal(made[0], made[1])
    assert 0 < np.abs(made[2] - made[0]).mean() < np.abs(made[3] - made[0]).mean()
    assert not np.array_equal(made[4], made[0])


def test_the_unit_of_strength_is_the_features_mean_activation(labeled: Path, strongest: int) -> None:
    import torch

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


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        (("--steps", "0:9"), 2, "the steps 0:9 are not among the 2 steps: all of them are 0:2"),
        (("--steps", "1"), 2, "'1' is no range of steps: write A:B"),
        (("--box", "0,0,13,2"), 2, "the box 0,0,13,2 does not lie in the 12x12 cells of mid"),
        (("--box", "1,2,3"), 2, "'1,2,3' is no box of cells"),
        (("--strength", "nan"), 2, "a strength of nan cannot be"),
        (("-o", "nowhere/x.png"), 2, "there is no folder nowhere"),
        (("-o", "x.jpg"), 2, "x.jpg is not named as a PNG: write x.png"),
        (("-o", "/tmp"), 2, "/tmp is a folder"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_generated(
    labeled: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, given: Any, code: int, says: str
) -> None:
    monkeypatch.setattr("autointerp.diffusion.generation.generate", None)
    monkeypatch.chdir(tmp_path)
    out = () if "-o" in given else ("-o", "x.png")
    done = cli("-w", labeled, "steer", f"{NAME}:0", "--prompt", PROMPT, *given, *out)
    assert done.code == code
    assert done.out == ""
    assert says in done.err
    assert done.err.count("\n") == 1
    assert not list(tmp_path.glob("*.png"))


def test_a_dead_feature_has_no_strength(workspace: Path, cli: Cli, tmp_path: Path) -> None:
    opened = Workspace(workspace)
    with opened.db.session() as session:
        session.execute(update(Feature).where(Feature.latent_index == 3).values(state="dead", mean_activation=0))
    opened.close()
    done = cli("-w", workspace, "steer", f"{NAME}:3", "--prompt", PROMPT, "-o", tmp_path / "x.png")
    assert done.code == 1
    assert f"{NAME}:3 never fired" in done.err
    done = cli("-w", workspace, "steer", f"{NAME}:64", "--prompt", PROMPT, "-o", tmp_path / "x.png")
    assert done.code == 2
    assert "features go from 0 to 63" in done.err

"""The strength that is chosen: the smallest that brings the feature into the finished pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from autointerp import Workspace
from autointerp.dictionaries.storage import load_dictionary
from autointerp.diffusion.capture import LayerActivations
from autointerp.diffusion.generation import generate
from autointerp.diffusion.jobs import ImageJob
from autointerp.diffusion.layers import Layer
from autointerp.errors import AutointerpError
from autointerp.experiments import strengths
from autointerp.experiments.regions import EditRegion
from autointerp.experiments.steering import steered_feature
from autointerp.experiments.strengths import LADDER, activation_in, choose_strength, strongest
from autointerp.project.context import Context

NAME = "shapes-turbo.mid.topk"
PROMPTS = ("large red solid circle center, sand background", "small blue star, night background")


def chosen_of(monkeypatch: pytest.MonkeyPatch, labeled: Path, found: dict[float, list[float]]) -> Any:
    """Choose among strengths whose pictures have these activations."""
    ctx = Context(Workspace(labeled))
    one = SimpleNamespace(
        name="d:1", unit=2.0, layer=ctx.layer("mid"), feature=SimpleNamespace(latent_index=1, mean_activation=2.0)
    )
    dictionary = load_dictionary(ctx.workspace.dictionary_dir(NAME))
    monkeypatch.setattr("autointerp.experiments.steering.steered", lambda ctx, columns, prompts, seed: [[0, 0]] * 6)
    values = iter(found.values())
    monkeypatch.setattr(strengths, "activation_in", lambda *given: torch.tensor(next(values)))
    return choose_strength(ctx, one, dictionary, EditRegion(), PROMPTS, 3)  # type: ignore[arg-type]


def test_the_smallest_strength_that_every_picture_shows(monkeypatch: pytest.MonkeyPatch, labeled: Path) -> None:
    found = {0.5: [0.0, 0.0], 1.0: [3.0, 0.5], 2.0: [2.0, 2.5], 4.0: [1.0, 9.0], 8.0: [9.0, 9.0], 16.0: [9.0, 9.0]}
    assert list(found) == list(LADDER)
    chosen = chosen_of(monkeypatch, labeled, found)
    assert chosen.strength == 2.0
    assert chosen.activations[4.0] == 1.0


def test_a_feature_that_no_strength_brings_is_an_error(monkeypatch: pytest.MonkeyPatch, labeled: Path) -> None:
    found = {strength: [0.5, 1.0 if strength == 8 else 0.1] for strength in LADDER}
    with pytest.raises(AutointerpError, match=r"no strength up to 16 brings d:1 .*: at 8 it reaches 25% of its mean"):
        chosen_of(monkeypatch, labeled, found)


def test_padding_of_a_text_counts_in_no_strength() -> None:
    layer, jobs = Layer(None, "h", 1, (1, 3), "text", "output"), (ImageJob(0, "", 0), ImageJob(1, "", 1))
    acts = torch.tensor([[[1.0], [2.0], [9.0]], [[3.0], [8.0], [9.0]]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    read = LayerActivations(layer, 0, 0.0, jobs, acts, layer.grid, mask)
    assert strongest(read, lambda one, step: one[:, 0], None).tolist() == [2, 3]
    assert strongest(read, lambda one, step: one[:, 0], torch.tensor([1, 2])).tolist() == [2, 0]
    whole = LayerActivations(layer, 0, 0.0, jobs, acts, layer.grid)
    assert strongest(whole, lambda one, step: one[:, 0], None).tolist() == [9, 9]


def test_the_activation_is_that_of_the_finished_picture(labeled: Path, query: Callable[..., list[Any]]) -> None:
    """A frequent feature fires in pictures that were generated without any edit, and less in a part of the cells."""
    ((index,),) = query(
        labeled, "SELECT latent_index FROM features WHERE state != 'dead' ORDER BY density DESC LIMIT 1"
    )
    ctx = Context(Workspace(labeled))
    one = steered_feature(ctx, f"{NAME}:{index}")
    dictionary = load_dictionary(ctx.workspace.dictionary_dir(NAME))
    jobs = [ImageJob(i, prompt, 3) for i, prompt in enumerate(PROMPTS)]
    ((_, pictures),) = generate(ctx.model, jobs, ctx.generation)
    shown = list(zip(PROMPTS, pictures, strict=True))
    whole = activation_in(ctx, one, dictionary, EditRegion(), shown, 3)
    corner = activation_in(ctx, one, dictionary, EditRegion(box=(0, 0, 1, 1)), shown, 3)
    assert whole.shape == (2,)
    assert bool((whole > 0).all())
    assert bool((corner <= whole).all())
    assert not torch.equal(corner, whole)

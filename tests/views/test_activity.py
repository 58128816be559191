"""Which steps of a picture a dictionary reads, and what of them counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from autointerp.dictionaries.storage import load_dictionary, save_dictionary
from autointerp.diffusion.capture import LayerActivations
from autointerp.diffusion.jobs import ImageJob, RealPicture
from autointerp.diffusion.layers import Layer
from autointerp.errors import UsageError
from autointerp.project.context import Context
from autointerp.views.activity import PictureActivity, steps_to_read
from tests.diffusion.helpers import dictionary_of

from .conftest import a_dictionary

PROMPT = ImageJob(0, "a red circle", 1)


@pytest.mark.parametrize(
    ("picture", "steps", "read"),
    [
        (None, [0, 3, 7, 9], (0, 3, 7)),
        (RealPicture(Path("x.png"), "0"), [0, 3, 4, 7, 9], (4, 7)),
        (RealPicture(Path("x.png"), "0"), [0, 3], (3,)),
        (RealPicture(Path("x.png"), "0", inverted=True), [0, 3, 7], (0, 3, 7)),
    ],
)
def test_a_noised_picture_is_read_late(
    small: Context, picture: RealPicture | None, steps: list[int], read: tuple[int, ...]
) -> None:
    ctx = Context(small.workspace, steps=8)
    assert steps_to_read(ctx, a_dictionary(steps=steps), replace(PROMPT, picture=picture)) == read


def test_a_dictionary_of_later_steps_cannot_read(small: Context) -> None:
    with pytest.raises(UsageError, match="reads steps 8, 9, and 8 are run"):
        steps_to_read(Context(small.workspace, steps=8), a_dictionary(steps=[8, 9]), PROMPT)


@pytest.mark.parametrize("masked", [False, True])
def test_nothing_fires_in_the_padding_of_a_text(tmp_path: Path, masked: bool) -> None:
    layer = Layer("text", "transformer.blocks.0", 8, (1, 6), "text", "output")
    save_dictionary(dictionary_of(layer), tmp_path, {})
    ctx: Any = SimpleNamespace(
        layer_of=lambda _row: layer,
        generation=SimpleNamespace(steps=8),
        workspace=SimpleNamespace(dictionary_dir=lambda _name: tmp_path),
        model=SimpleNamespace(device="cpu"),
    )
    row = a_dictionary(steps=[3], num_latents=24, weights_sha256=None)
    activity = PictureActivity(ctx, row, [], PROMPT)
    acts = torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(1))
    counts = torch.tensor([[False, True, True, True, False, False]])
    activity.consume(LayerActivations(layer, 3, 500.0, (PROMPT,), acts, (1, 6), counts if masked else None))

    code = load_dictionary(tmp_path).encode(acts[0], 3)
    dense = torch.zeros(6, 24).scatter_add_(1, code.latent_indices, code.latent_acts)
    assert (dense.amax(1) > 0).all()
    if masked:
        dense[~counts[0]] = 0
    maps = np.stack([activity.maps(latent)[3][0] for latent in range(24)], 1)
    assert np.allclose(maps, dense.numpy())

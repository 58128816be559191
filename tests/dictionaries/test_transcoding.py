"""A transcoder learns what an MLP computes, raw tensors go in and come out, and a checkpoint leads to the same bits."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from autointerp.dictionaries.fitting import FitConfig, Trainer, make_trainer
from autointerp.dictionaries.metrics import Reconstruction
from autointerp.dictionaries.transcoders import Transcoder
from autointerp.dictionaries.transcoding import TranscoderTrainer
from autointerp.errors import UsageError
from tests.dictionaries.fits import rounds, synthetic

TOKENS = 8192


def pairs(seed: int) -> torch.Tensor:
    """Inputs, and what a fixed MLP with a bias and a large dimension makes of them, [n, 64]."""
    inputs, directions = synthetic(TOKENS, seed)
    draw = torch.Generator().manual_seed(5)
    write = torch.randn(len(directions), inputs.shape[1], generator=draw)
    outputs = (inputs @ directions.T - 0.5).relu() @ write + 3
    outputs[:, 0] *= 50
    return torch.cat([inputs * 10 + 2, outputs], 1)


def trainer(**options: Any) -> Trainer:
    steps = options.pop("steps", (0,))
    given = {"passes": 6, "batch": 128, "rate": 3e-3, "dead_after": 5000, **options}
    return make_trainer(FitConfig("transcoder", 64, 6, TOKENS, 2, steps, options=given), 32)


@pytest.mark.parametrize("normalize", ["standard", "whiten"])
def test_outputs_are_rebuilt_from_inputs(normalize: str) -> None:
    fit = trainer(normalize=normalize)
    for one in rounds(pairs(0)):
        fit.train_round(one)
    made = fit.dictionary()
    assert isinstance(made, Transcoder)
    held_out = pairs(1)
    figures = Reconstruction(32, 64)
    figures.update(made, held_out)
    assert figures.fvu_normalized < 0.5
    # The other way round nothing was learned: outputs of other inputs are not rebuilt.
    shuffled = torch.cat([held_out[:, :32], held_out[:, 32:].roll(1, 0)], 1)
    other = Reconstruction(32, 64)
    other.update(made, shuffled)
    assert other.fvu_normalized > 1.0


def test_a_checkpoint_leads_to_the_same_bits() -> None:
    first, second = rounds(pairs(0))
    whole, stopped, again = trainer(), trainer(), trainer()
    for one in (first, second):
        whole.train_round(one)
    stopped.train_round(first)
    again.load_state_dict(stopped.state_dict())
    again.train_round(second)
    once, resumed = whole.dictionary().state()[1], again.dictionary().state()[1]
    assert all(torch.equal(once[name], resumed[name]) for name in once)


def test_a_step_has_its_own_scale() -> None:
    fit = trainer(per_step=True, steps=(0, 1), passes=1)
    assert isinstance(fit, TranscoderTrainer)
    with pytest.raises(ValueError, match="nothing was fitted"):
        fit.dictionary()
    given = pairs(0)
    for one in rounds(given, steps=2):
        fit.train_round(one)
    made = fit.dictionary()
    assert made.modulation is not None
    assert made.modulation.scale.shape == (2, 32)
    assert made.encode(given[:4], 1).latent_acts.shape == (4, 6)
    with pytest.raises(UsageError, match="depends on the denoising step"):
        made.encode(given[:4])

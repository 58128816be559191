"""The choice of features by contrast, on codes that are written by hand."""

from __future__ import annotations

import torch

from autointerp.dictionaries.protocol import SparseCode
from autointerp.experiments.ways.contrast import activations_of, encoded, mean_activations, strongest
from tests.experiments.ways.pairs import identity_sae

CODES = [
    SparseCode(torch.tensor([[3.0, 1.0], [2.0, 0.0]]), torch.tensor([[4, 1], [1, 0]])),
    SparseCode(torch.tensor([[5.0, 0.0], [0.0, 0.0]]), torch.tensor([[0, 0], [0, 0]])),
]


def test_means_count_every_cell_and_no_unused_slot() -> None:
    means = mean_activations(CODES, 5)
    assert torch.equal(means, torch.tensor([[0, 1.5, 0, 0, 1.5], [2.5, 0, 0, 0, 0]]))


def test_activations_of_latents_cell_by_cell() -> None:
    found = activations_of(CODES, torch.tensor([1, 4, 0]))
    assert torch.equal(found[0], torch.tensor([[1.0, 3.0, 0.0], [2.0, 0.0, 0.0]]))
    assert torch.equal(found[1], torch.tensor([[0.0, 0.0, 5.0], [0.0, 0.0, 0.0]]))


def test_a_latent_ranks_by_what_it_would_add_whatever_its_sign() -> None:
    contrast = torch.tensor([[1.0, -3.0, 0.0, 2.0, 1.0], [1.0, -3.0, 0.0, -2.0, 1.0]])
    directions = torch.diag(torch.tensor([1.0, 1.0, 9.0, 1.0, 5.0]))
    assert strongest(contrast, directions, 9).tolist() == [4, 1, 3, 0]
    assert strongest(contrast, directions, 2).tolist() == [4, 1]
    # What differs only in the last digits is in the order of the latents, on every processor.
    nearly = torch.tensor([[1.0, 1.0 + 1e-7, 1.0]])
    assert strongest(nearly, torch.eye(3), 3).tolist() == [0, 1, 2]
    assert strongest(torch.zeros(2, 5), directions, 3).tolist() == []


def test_each_step_is_encoded_by_itself() -> None:
    acts = torch.rand(2, 4, 8) + 0.1
    codes = encoded(identity_sae(), acts, (0, 2))
    assert len(codes) == 2
    assert torch.allclose(codes[1].latent_acts, (acts[1] / torch.tensor([1.0] * 7 + [2.0])).topk(3).values)

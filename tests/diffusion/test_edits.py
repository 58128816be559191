"""Edits: what each change computes, and what an edit refuses."""

from __future__ import annotations

import pytest
import torch

from autointerp.diffusion.edits import (
    Edit,
    add_cells,
    add_vector,
    change_feature,
    clamp_feature,
    put_cells,
    replace,
    scale_feature,
)
from autointerp.diffusion.layers import Layer
from autointerp.errors import UsageError
from tests.diffusion.helpers import dictionary_of, reader_of

LAYER = Layer("mid", "transformer.transformer_blocks.1", 16, (2, 3), "image", "output")


def test_feature_edits_leave_what_the_dictionary_does_not_explain() -> None:
    dictionary = dictionary_of(LAYER)
    acts = torch.randn(4, 6, 16, generator=torch.Generator().manual_seed(1))
    latent = int(dictionary.encode(acts.reshape(-1, 16)).latent_indices.flatten().mode().values)
    read, direction = reader_of(dictionary, latent), dictionary.directions[latent]
    old = read(acts.reshape(-1, 16), 0).reshape(4, 6)
    assert 0 < (old > 0).sum() < old.numel()
    changes = {
        "ablated": (scale_feature(read, direction, 0.0), torch.zeros_like(old)),
        "doubled": (scale_feature(read, direction, 2.0), 2 * old),
        "set": (clamp_feature(read, direction, 1.5, 1.5), torch.full_like(old, 1.5)),
        "bounded": (clamp_feature(read, direction, most=0.5), old.clamp(max=0.5)),
        "squared": (change_feature(read, direction, lambda a: a * a), old * old),
    }
    for name, (change, new) in changes.items():
        assert change.adds
        assert torch.allclose(change.function(acts, 0), (new - old)[..., None] * direction, atol=1e-6), name
    # A reconstruction leaves the rest out.
    assert not replace(lambda acts, step: acts).adds


def test_values_of_cells_are_added_or_put_by_step() -> None:
    acts = torch.zeros(2, 3, 4)
    values = {1: torch.arange(12.0).reshape(3, 4), 2: torch.ones(1, 4)}
    put, added = put_cells(values), add_cells(values)
    assert (put.adds, added.adds) == (False, True)
    for change in (put, added):
        assert torch.equal(change.function(acts, 1), values[1].expand(2, 3, 4))
        assert torch.equal(change.function(acts, 2), torch.ones(2, 3, 4))
    # A step without values stays as it is: nothing is added, and the activations themselves are put.
    some = torch.full((2, 3, 4), 5.0)
    assert torch.equal(put.function(some, 0), some)
    assert torch.equal(added.function(some, 0), torch.zeros(2, 3, 4))


def test_an_edit_refuses_cells_and_branches_that_do_not_exist() -> None:
    nothing = add_vector(torch.zeros(16))
    for box in ((0, 0, 3, 3), (1, 0, 1, 1), (-1, 0, 1, 1)):
        with pytest.raises(UsageError, match="does not lie in the"):
            Edit(LAYER, nothing, cells=box)
    for mask in (torch.zeros(2, 4, dtype=torch.bool), torch.zeros(2, 3)):
        with pytest.raises(UsageError, match="does not fit"):
            Edit(LAYER, nothing, cells=mask)
    with pytest.raises(UsageError, match="no branch 'negative'"):
        Edit(LAYER, nothing, branch="negative")  # type: ignore[arg-type]

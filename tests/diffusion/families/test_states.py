"""States of modules as tokens, and back."""

from __future__ import annotations

import torch
from hypothesis import given, strategies as st

from autointerp.diffusion.families.states import as_tokens, same_shape, states_like, with_first_states

SIDES = st.integers(1, 4)


@given(SIDES, SIDES, SIDES, SIDES)
def test_tokens_are_cells_row_by_row_and_come_back(batch: int, width: int, rows: int, cols: int) -> None:
    states = torch.arange(batch * width * rows * cols).reshape(batch, width, rows, cols).float()
    tokens = as_tokens(states)
    assert tokens.shape == (batch, rows * cols, width)
    assert torch.equal(tokens[:, cols * (rows - 1)], states[:, :, rows - 1, 0])
    assert torch.equal(states_like(tokens, states), states)


def test_the_form_and_dtype_of_the_states_stay() -> None:
    states = torch.zeros(2, 4, 3, 3, dtype=torch.float16).to(memory_format=torch.channels_last)
    new = states_like(torch.ones(2, 9, 4), states)
    assert new.dtype == torch.float16
    assert new.is_contiguous(memory_format=torch.channels_last)
    assert new.min() == 1


def test_other_objects_are_no_tokens() -> None:
    assert as_tokens(None) is None
    assert as_tokens(torch.zeros(2, 3)) is None


def test_a_skip_that_is_the_output_changes_with_it() -> None:
    old, other = torch.zeros(1, 2, 2, 2), torch.ones(1, 2, 2, 2)
    new, skips = with_first_states((old, (other, old)), torch.full((1, 4, 2), 3.0))
    assert new.min() == 3
    assert skips[0] is other
    assert skips[1] is new


def test_an_input_of_another_shape_is_no_before() -> None:
    after = torch.zeros(1, 4, 2)
    assert same_shape(None, after) is None
    assert same_shape(torch.zeros(1, 4, 3), after) is None
    assert same_shape(after, after) is after

"""A model's description."""

from __future__ import annotations

import pytest

from autointerp.diffusion.description import Described
from autointerp.errors import UsageError
from tests.diffusion.helpers import Models


def test_a_loaded_model_and_its_description_are_both_described(tiny_model: Models) -> None:
    model = tiny_model("sd")
    both: list[Described] = [model, model.description]
    assert all(one.description is model.description for one in both)


def test_the_grid_is_that_of_the_hookpoint(tiny_model: Models) -> None:
    description = tiny_model("sd").description
    rows, cols = description.grid("96x64")
    coarsest = description.coarsest_cell
    assert (rows, cols) == (64 // (96 // cols), cols)
    assert cols > 96 // coarsest
    with pytest.raises(UsageError, match="a picture size of 65 does not fit"):
        description.grid(65)

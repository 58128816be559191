"""What erasers compute, on activations written by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autointerp.experiments.erasers import (
    Marks,
    MarkSums,
    moved_to_others,
    silenced,
    silenced_at_random,
    telling,
    units_moved,
    words_without,
)
from tests.experiments.ways.pairs import identity_sae


def marks_of(inside: list[float], outside: list[float]) -> Marks:
    return Marks(torch.tensor([inside]), torch.tensor([outside]), (4, 4))


def test_marks_are_means_inside_and_outside_of_a_value() -> None:
    sums = MarkSums({"color": 3}, 2, 2)
    acts = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 5.0], [9.0, 9.0]])
    cells = {"color": np.array([0, 0, 2, -1])}
    for step in (0, 1):
        sums.add(step, acts * (step + 1), cells)
    sums.add(0, torch.tensor([[5.0, 1.0]]), {"color": np.array([1])})
    marks = sums.marks("color", 0)
    assert marks.cells == (2, 2)
    assert torch.equal(marks.inside, torch.tensor([[2.0, 0.0], [4.0, 0.0]]))
    assert torch.equal(marks.outside[0], torch.tensor([2.5, 3.0]))


def test_telling_features_are_more_active_inside() -> None:
    marks = marks_of([5.0, 1.0, 0.0, 2.0], [1.0, 9.0, 0.0, 1.0])
    assert telling(marks, torch.eye(4), 9).tolist() == [0, 3]


def test_silenced_features_are_gone_and_others_stay() -> None:
    acts = torch.tensor([[[4.0, 3.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0]]])
    sae = identity_sae()
    once = acts + silenced(sae, torch.tensor([1, 5]), 1.0).function(acts, 0)
    assert torch.equal(once[0, 0, :3], torch.tensor([4.0, 0.0, 2.0]))
    twice = silenced(sae, torch.tensor([1]), 2.0).function(acts, 0)
    assert float(twice[0, 0, 1]) == -6.0
    random = silenced_at_random(sae, torch.tensor([1]), 2.0, "red").function(acts, 0)
    assert float(random.norm()) == pytest.approx(6.0, rel=1e-5)
    assert torch.equal(random, silenced_at_random(sae, torch.tensor([1]), 2.0, "red").function(acts, 0))
    assert not torch.allclose(random, silenced_at_random(sae, torch.tensor([1]), 2.0, "blue").function(acts, 0))


def test_cells_move_to_the_others_as_far_as_they_are_away() -> None:
    marks = marks_of([2.0, 0.0], [0.0, 0.0])
    acts = torch.tensor([[[2.0, 7.0], [1.0, 0.0], [-3.0, 1.0], [50.0, 0.0]]])
    moved = acts + moved_to_others(marks, 1.0).function(acts, 0)
    assert torch.allclose(moved[0, :3], torch.tensor([[0.0, 7.0], [0.0, 0.0], [-3.0, 1.0]]))
    # A cell far beyond the concept's mean moves by the difference of the means, and not further.
    assert torch.allclose(moved[0, 3], torch.tensor([48.0, 0.0]))


def test_hidden_units_move_one_by_one() -> None:
    marks = marks_of([4.0, 1.0, -2.0], [0.0, 1.0, 0.0])
    acts = torch.tensor([[[4.0, 1.0, -1.0], [-4.0, 1.0, 3.0]]])
    added = units_moved(marks, 2, 1.0).function(acts, 0)
    assert torch.allclose(added, torch.tensor([[[-4.0, 0.0, 1.0], [0.0, 0.0, 0.0]]]))
    assert torch.equal(units_moved(marks, 1, 1.0).function(acts, 0)[..., 2], torch.zeros(1, 2))


def test_a_word_leaves_a_caption() -> None:
    caption = "large red solid circle center, small red star top left, sand background"
    assert words_without(caption, "red") == "large solid circle center, small star top left, sand background"
    assert words_without(caption, "sand", "background") == "large red solid circle center, small red star top left"
    assert words_without("red", "red") == ""

"""The places where atoms were read."""

from __future__ import annotations

import torch

from autointerp.dictionaries.atoms import AtomDictionary, AtomSources
from autointerp.dictionaries.baselines import RandomDirections
from autointerp.dictionaries.itda import ITDA
from autointerp.dictionaries.normalize import Normalization


def test_numbers_of_images_become_prompts_and_seeds() -> None:
    place = torch.tensor([[7, 1, 2, 3], [4, 0, 5, 6], [7, 0, 0, 0]])
    grown = AtomSources((), place, torch.zeros(3, dtype=torch.int64))
    located = grown.located({4: ("a blue square", 40), 7: ("a red circle", 70)})
    assert located.all() == [
        ("a red circle", 70, 1, 2, 3),
        ("a blue square", 40, 0, 5, 6),
        ("a red circle", 70, 0, 0, 0),
    ]
    assert located.of(1) == ("a blue square", 40, 0, 5, 6)
    # What was read stays as it was.
    assert grown.place[0, 0] == 7
    # Two images may share their prompt, not their seed.
    shared = grown.located({4: ("a", 40), 7: ("a", 70)})
    assert (shared.prompts, shared.seeds.tolist()) == (("a",), [70, 40, 70])


def test_only_itda_has_atoms() -> None:
    normal = Normalization.scaled(torch.zeros(8), torch.ones(8))
    atoms = torch.nn.functional.normalize(torch.randn(4, 8), dim=1)
    assert isinstance(ITDA(atoms, normal, 2, "exact"), AtomDictionary)
    assert not isinstance(RandomDirections.draw(normal, 4, 2, seed=0), AtomDictionary)

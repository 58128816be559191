from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from autointerp.dictionaries import pursuit
from autointerp.dictionaries.itda import ITDA
from tests.dictionaries.fits import D_IN, config, figures, fit, grower, rounds, synthetic
from tests.waits import waits


def test_an_atom_is_an_activation_with_its_place() -> None:
    acts, directions = synthetic(8192, 0)
    trainer = fit(acts, config("itda", tokens=8192))
    dictionary = trainer.dictionary()
    assert isinstance(dictionary, ITDA)
    assert dictionary.sources is not None
    assert 32 < dictionary.num_latents <= 64
    images = {i: (f"prompt {i % 7}", 1000 + i) for i in range(len(acts))}
    sources = dictionary.sources.located(images)
    assert len(sources.prompts) == 7
    for atom in range(dictionary.num_latents):
        prompt, seed, step, row, col = sources.of(atom)
        number = seed - 1000
        assert (prompt, step, row, col) == (f"prompt {number % 7}", 0, 0, 0)
        same = F.cosine_similarity(
            dictionary.normalization.apply(acts[number : number + 1])[0], dictionary.atoms[atom], 0
        )
        assert same > 0.9999
    cosines = dictionary.atoms @ dictionary.atoms.T - torch.eye(dictionary.num_latents)
    assert cosines.max() <= 0.98 + 1e-5
    assert figures(dictionary, synthetic(2000, 1)[0]).fvu < 0.5


def test_growth_stops_where_all_is_explained_and_prunes_what_is_idle() -> None:
    draw = torch.Generator().manual_seed(0)
    directions = F.normalize(torch.randn(5, D_IN, generator=draw), dim=1)
    acts = directions[torch.randint(0, 5, (4096,), generator=draw)] * (1 + torch.rand(4096, 1, generator=draw))
    grown = grower(4096, 2, threshold=0.01)
    for one in rounds(acts):
        grown.train_round(one)
    # One atom a direction is all that a threshold asks for.
    assert len(grown.atoms) == 5
    assert figures(grown.dictionary(), acts).fvu < 1e-6
    odd = F.normalize(torch.randn(1, D_IN, generator=draw), dim=1) * 1.5
    grown = grower(8192, 3, threshold=0.01, prune=0.01)
    first, second = torch.cat([odd, acts]), acts
    grown.train_round(rounds(first, 1)[0])
    assert len(grown.atoms) == 5
    unpruned = grower(8192, 3, threshold=0.01, prune=0)
    unpruned.train_round(rounds(first, 1)[0])
    unpruned.train_round(rounds(second, 1)[0])
    assert len(unpruned.atoms) == 6


def test_growth_waits_once_a_batch_and_never_when_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor is told to do as an accelerator has to. Candidates are chosen by what was read once."""
    acts = synthetic(4096, 0)[0]
    asked = grower(4096, 2, threshold=0.01, fill=0.3)
    for one in rounds(acts):
        asked.train_round(one)
    monkeypatch.setattr(pursuit, "ASKED", set())
    grown, counts = grower(4096, 2, threshold=0.01, fill=0.3), []
    for one in rounds(acts):
        with waits() as found:
            grown.train_round(one)
        counts.append(found)
    assert torch.equal(asked.atoms, grown.atoms)
    assert torch.equal(asked.places, grown.places)
    assert len(grown.atoms) == grown.cap
    first, second = counts
    assert first["growth.py:_grow nonzero"] <= len(acts) / 2 / 256
    assert not any("_grow" in line or "_join" in line or "pursuit" in line for line in second), second
    assert sum(second.values()) <= 4, second

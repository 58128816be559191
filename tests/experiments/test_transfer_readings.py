"""Sums of pictures by step: joined over units, they are what all pictures together give."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from autointerp.diffusion.capture import LayerActivations
from autointerp.diffusion.jobs import ImageJob
from autointerp.experiments.subjects import NamedFeature
from autointerp.experiments.transfer_readings import WAYS, TransferReading, joined
from autointerp.worlds import SceneFacts
from tests.experiments.ways.pairs import identity_sae

LAYER: Any = SimpleNamespace(grid=(2, 2))


def reading(named: list[NamedFeature] | None = None) -> TransferReading:
    sae = identity_sae()
    return TransferReading(LAYER, dict.fromkeys(WAYS, sae), torch.ones(sae.d_in), np.arange(3), named or [])


def read(acts: torch.Tensor, step: int = 0, mask: torch.Tensor | None = None) -> LayerActivations:
    jobs = tuple(ImageJob(i, "", i) for i in range(len(acts)))
    return LayerActivations(LAYER, step, 0.0, jobs, acts, LAYER.grid, mask)


def test_tokens_that_do_not_count_are_in_no_figure() -> None:
    acts = torch.rand(2, 4, identity_sae().d_in, generator=torch.Generator().manual_seed(1))
    mask = torch.tensor([[True, True, False, False]] * 2)
    masked, short = reading(), reading()
    masked.consume(read(acts, mask=mask))
    short.consume(read(acts[:, :2]))
    mine, theirs = (joined([one.result()["steps"][0]]) for one in (masked, short))
    assert mine["cells"] == theirs["cells"] == 4
    for way in WAYS:
        assert mine["ways"][way]["l0"] == pytest.approx(theirs["ways"][way]["l0"])
        assert np.asarray(mine["ways"][way]["error"]) == pytest.approx(np.asarray(theirs["ways"][way]["error"]))
        assert np.array_equal(mine["ways"][way]["maxima"], theirs["ways"][way]["maxima"])


def test_variance_is_around_the_mean_of_all_cells() -> None:
    acts = torch.rand(5, 4, identity_sae().d_in, generator=torch.Generator().manual_seed(0))
    parts = []
    for some in (acts[:2], acts[2:]):
        one = reading()
        one.consume(read(some))
        parts.append(one.result()["steps"][0])
    found = joined(parts)
    flat = acts.reshape(-1, acts.shape[-1]).double()
    assert found["cells"] == len(flat)
    of = found["ways"]["dictionary"]
    assert of["variance"].sum() == pytest.approx(float((flat - flat.mean(0)).square().sum()), rel=1e-4)
    assert of["maxima"].shape == (5, 3)
    assert len(of["error"]) == len(of["l0"]) == 5


def test_labels_are_counted_where_they_are_active_and_hold() -> None:
    width = identity_sae().d_in
    acts = torch.zeros(1, 4, width)
    acts[0, :, 1] = torch.tensor([5.0, 5.0, 0.5, 0.0])
    one = reading([NamedFeature(1, "red", 1.0), NamedFeature(2, "odd", 1.0)])
    one.consume(read(acts))
    holds = {"red": np.array([[[True, False], [True, False]]]), "odd": None}
    scenes: Any = SimpleNamespace(
        read=lambda pictures: [SceneFacts({}, (), None, True)], holds=lambda name, facts: holds[name]
    )
    one.see(scenes, [0], [None])  # type: ignore[list-item]
    # Active cells, those of them where the name holds, and all cells where it holds.
    assert one.result()["steps"][0]["labels"] == [[2, 0], [1, 0], [2, 0]]

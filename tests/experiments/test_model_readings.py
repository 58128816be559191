"""What is read of pictures is what one counts by hand, whatever comes together in a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from autointerp.dictionaries.metrics import Reconstruction
from autointerp.dictionaries.protocol import SparseCode
from autointerp.dictionaries.sae import TopK
from autointerp.diffusion.capture import LayerActivations
from autointerp.diffusion.jobs import ImageJob
from autointerp.experiments.model_readings import FiringMaps, ModelReading, ReadPictures, rebuilt_of_nothing

STEPS = {2: 0, 5: 1}


@pytest.fixture
def dictionary() -> TopK:
    draw = torch.Generator().manual_seed(0)
    weights = torch.randn(6, 4, generator=draw)
    return TopK(weights.T.contiguous(), torch.zeros(6), weights, torch.full((4,), 0.5), 2)


def read_of(acts: torch.Tensor, step: int, indices: range) -> LayerActivations:
    jobs = tuple(ImageJob(index, "x", index) for index in indices)
    layer: Any = None
    return LayerActivations(layer, step, 0.0, jobs, acts, (2, 3))


@pytest.fixture
def acts() -> torch.Tensor:
    """Activations by step, picture and cell."""
    return torch.randn(2, 5, 6, 4, generator=torch.Generator().manual_seed(1)) + 3


def test_sums_are_those_of_each_picture(dictionary: TopK, acts: torch.Tensor) -> None:
    told = []
    encode = dictionary.encode

    def noting(acts: torch.Tensor, step: int | torch.Tensor | None = None) -> SparseCode:
        told.append(step)
        return encode(acts, step)

    dictionary.encode = noting  # type: ignore[method-assign]
    parts = []
    for batches in ([range(5)], [range(2), range(2, 5)]):
        results = []
        for batch in batches:
            reading = ModelReading(dictionary, STEPS)
            for number, step in enumerate(STEPS):
                reading.consume(read_of(acts[number][batch.start : batch.stop], step, batch))
            results.append(reading.result(batch))
        parts.append(ReadPictures.joined(results))
    assert set(told) == {0, 1}
    whole, halves = parts
    by_hand = Reconstruction(4, 6)
    codes = [by_hand.update(dictionary, acts[:, picture].reshape(-1, 4)) for picture in range(5)]
    assert whole.cells.tolist() == [12] * 5
    for picture, code in enumerate(codes):
        fires = (torch.nn.functional.one_hot(code.latent_indices, 6) * (code.latent_acts > 0)[..., None]).sum((0, 1))
        assert whole.fired[picture].tolist() == fires.tolist()
    assert whole.error.sum() / whole.variance.sum() == pytest.approx(by_hand.fvu, rel=1e-5)
    assert whole.fired.sum() / whole.cells.sum() == pytest.approx(by_hand.l0)
    assert (whole.density == whole.fired / 12).all()
    assert (halves.fired == whole.fired).all()
    assert halves.error == pytest.approx(whole.error)
    assert halves.variance == pytest.approx(whole.variance)


def test_nothing_rebuilds_the_bias(dictionary: TopK) -> None:
    assert rebuilt_of_nothing(dictionary).tolist() == [[0.5] * 4]


def test_maps_are_where_a_feature_fires_at_any_step(dictionary: TopK, acts: torch.Tensor) -> None:
    maps = FiringMaps(dictionary, STEPS, [0, 3])
    for number, step in enumerate(STEPS):
        maps.consume(read_of(acts[number], step, range(5)))
    fires = []
    for number in range(2):
        code = dictionary.encode(acts[number].reshape(-1, 4))
        fires.append(((code.latent_indices == 3) & (code.latent_acts > 0)).any(1).reshape(5, 2, 3).numpy())
    assert set(maps.maps) == {(index, latent) for index in range(5) for latent in (0, 3)}
    for index in range(5):
        assert (maps.maps[index, 3] == np.logical_or(*fires)[index]).all()
